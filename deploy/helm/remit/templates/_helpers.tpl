{{- /* The facts of files/services.yaml. */ -}}
{{- define "remit.services" -}}
{{- .Files.Get "files/services.yaml" -}}
{{- end -}}

{{- /* One release a namespace is usual, and then everything is called remit-…; others carry the release's name. */ -}}
{{- define "remit.fullname" -}}
{{- if contains "remit" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-remit" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What selects: never changes between versions. Takes (dict "root" $ "component" name); no component: all. */ -}}
{{- define "remit.selector" -}}
app.kubernetes.io/name: remit
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "remit.labels" -}}
{{ include "remit.selector" . }}
app.kubernetes.io/part-of: remit
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Takes (dict "root" $ "own" image of one service): where that names a tag or a digest, it counts alone. */ -}}
{{- define "remit.image" -}}
{{- $own := .own | default dict -}}
{{- $named := ternary $own .root.Values.image (or (not (empty $own.tag)) (not (empty $own.digest))) -}}
{{- if $named.digest -}}
{{ .root.Values.image.repository }}@{{ $named.digest }}
{{- else -}}
{{ .root.Values.image.repository }}:{{ $named.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* Of every pod. Service links would set REMIT_GATEWAY_PORT to an address: that is a setting of ours. */ -}}
{{- define "remit.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.scheduling.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
{{- end -}}

{{- /* Of every container; takes what `remit.image` takes. */ -}}
{{- define "remit.container" -}}
image: {{ include "remit.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: tmp
    mountPath: /tmp
{{- end -}}

{{- /* Settings from one Secret, each named. Takes (dict "facts" … "secret" name). */ -}}
{{- define "remit.secrets" -}}
{{- $secret := .secret -}}
{{- range .facts.secrets }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ . }}
{{- end }}
{{- range .facts.optionalSecrets }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ . }}
      optional: true
{{- end }}
{{- end -}}

{{- /* Settings from the values. */ -}}
{{- define "remit.settings" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- /* Up at once, down one by one and late: a worker that leaves gives back what it had fetched. */ -}}
{{- define "remit.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - type: Pods
      value: 2
      periodSeconds: 30
scaleDown:
  stabilizationWindowSeconds: {{ . }}
  policies:
    - type: Pods
      value: 1
      periodSeconds: 60
{{- end -}}

{{- define "remit.checked" -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "%s: minReplicas (%d) is more than maxReplicas (%d)" .name (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}

{{- define "remit.flow" -}}
- to:
    {{- toYaml .peers | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ .port }}}
{{- end -}}

{{- define "remit.dns" -}}
- to:
    {{- toYaml .Values.network.dns.peers | nindent 4 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end -}}

{{- /* Takes its weight: lower ones come first. The last one stays, for its log. */ -}}
{{- define "remit.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation
{{- end -}}
