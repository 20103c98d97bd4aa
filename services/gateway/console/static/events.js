// Server-sent events by `fetch`: the browser's own reader of them cannot send the header that the session needs.

import { ask, Refused } from "./api.js";

// The gateway sends something every two seconds.
const SILENT_MS = 10_000;
const RETRY_MS_MAX = 15_000;

/** Reads events until `signal`; connects again for as long as it must, and tells what it is doing.
 *
 * `onEvent(name, data)`; `onState("live" | "lost", error)`.
 */
export async function watch(path, { onEvent, onState, signal }) {
  let waitMs = 0;
  while (!signal.aborted) {
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener("abort", stop);
    try {
      const response = await ask("GET", path, { signal: attempt.signal, headers: { Accept: "text/event-stream" } });
      await read(response.body.getReader(), stop, (name, data) => {
        // Not after an end: a gateway that leaves ends every stream at once.
        if (name !== "end") waitMs = 0;
        onState("live");
        onEvent(name, data);
      });
    } catch (error) {
      if (signal.aborted) return;
      const isRefusal = error instanceof Refused;
      if (isRefusal && [401, 403].includes(error.status)) return;
      onState("lost", isRefusal ? error : new Error("The stream broke off."));
    } finally {
      signal.removeEventListener("abort", stop);
    }
    await pause(waitMs, signal);
    waitMs = Math.min(waitMs * 2 || 1_000, RETRY_MS_MAX);
  }
}

const BROKEN_OFF = { status: 0, code: "broken_off", detail: "The stream broke off before its end." };

/** Reads one stream to its end, for what nobody begins again unasked. Throws where it is refused or breaks off. */
export async function follow(path, { onEvent, signal }) {
  const attempt = new AbortController();
  const stop = () => attempt.abort();
  signal.addEventListener("abort", stop);
  try {
    const response = await ask("GET", path, { signal: attempt.signal, headers: { Accept: "text/event-stream" } });
    await read(response.body.getReader(), stop, onEvent);
  } catch (error) {
    if (signal.aborted || error instanceof Refused) throw error;
    throw new Refused(BROKEN_OFF, null);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

async function read(reader, stop, onEvent) {
  const decoder = new TextDecoder();
  let text = "";
  let silence = setTimeout(stop, SILENT_MS);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(stop, SILENT_MS);
      text += decoder.decode(value, { stream: true });
      const whole = text.split("\n\n");
      text = whole.pop();
      whole.forEach((event) => handOn(event, onEvent));
    }
  } finally {
    clearTimeout(silence);
  }
}

function handOn(event, onEvent) {
  const fields = Object.fromEntries(event.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line]));
  if (fields.event && fields.data) onEvent(fields.event.slice(7), JSON.parse(fields.data.slice(6)));
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
