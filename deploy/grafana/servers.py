"""The servers below, and the proxy before them."""

from __future__ import annotations

from deploy.grafana.panels import Dashboard, Panel, Query
from deploy.grafana.queries import R, rate

SERVERS = Dashboard(
    uid="remit-servers",
    title="servers",
    said="Broker, proxy, and PostgreSQL and Redis as Remit meets them: of these two no exporter runs here.",
    panels=(
        Panel(
            title="Do they answer?",
            said="The best that any gateway meets.",
            queries=[Query("max by (server) (remit_server_up)", "{{server}}")],
        ),
        Panel(
            title="Broker alarms",
            said="Memory and disk; publishers are blocked by either.",
            queries=[
                Query("max by (instance) (rabbitmq_alarms_memory_used_watermark)", "memory {{instance}}"),
                Query("max by (instance) (rabbitmq_alarms_free_disk_space_watermark)", "disk {{instance}}"),
            ],
            alarms=True,
        ),
        Panel(
            title="Broker: memory against its bound",
            said="Publishers wait above it.",
            unit="percentunit",
            queries=[
                Query("rabbitmq_process_resident_memory_bytes / rabbitmq_resident_memory_limit_bytes", "{{instance}}")
            ],
        ),
        Panel(
            title="Broker: messages",
            said="Ready, and in somebody's hands.",
            queries=[
                Query("sum(rabbitmq_queue_messages_ready)", "ready"),
                Query("sum(rabbitmq_queue_messages_unacked)", "unacknowledged"),
            ],
        ),
        Panel(
            title="Broker: published, delivered, redelivered",
            said="Messages per second, whatever they hold.",
            unit="ops",
            queries=[
                Query(f"sum(rate(rabbitmq_global_messages_received_total{R}))", "published"),
                Query(f"sum(rate(rabbitmq_global_messages_delivered_total{R}))", "delivered"),
                Query(f"sum(rate(rabbitmq_global_messages_redelivered_total{R}))", "redelivered"),
            ],
        ),
        Panel(
            title="Broker: disk that is left",
            said="Publishers are blocked below the limit.",
            unit="bytes",
            queries=[
                Query("min(rabbitmq_disk_space_available_bytes)", "left"),
                Query("max(rabbitmq_disk_space_available_limit_bytes)", "limit"),
            ],
        ),
        Panel(
            title="Proxy: gateways that are ready",
            said="None is an alarm.",
            queries=[Query('max(haproxy_backend_active_servers{proxy="gateways"})', "ready")],
        ),
        Panel(
            title="Proxy: answers by class",
            said="Its own refusals among them.",
            unit="ops",
            queries=[rate("haproxy_frontend_http_responses_total", "code", where='proxy="api"')],
        ),
        Panel(
            title="Database connections that are open",
            said="Over all instances, by schema or by reader.",
            queries=[
                Query('sum by (pool, schema) (remit_pool_connections{state="open"})', "{{pool}} {{schema}}"),
            ],
        ),
    ),
)
