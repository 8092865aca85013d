// Everything that is asked of the console's server.

export class Problem extends Error {
  constructor(document) {
    super(document.detail || document.title || "no answer");
    this.kind = String(document.type ?? "").split(":").pop();
    this.hint = document.hint ?? "";
  }
}

async function read(answer) {
  const document = await answer.json().catch(() => ({ detail: `the console answered ${answer.status}` }));
  if (!answer.ok) throw new Problem(document);
  return document;
}

export async function ask(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== ""));
  try {
    return await read(await fetch(`${path}${query.size ? `?${query}` : ""}`));
  } catch (error) {
    throw error instanceof Problem ? error : new Problem({ detail: "the console does not answer", hint: "has it ended?" });
  }
}

export async function order(action, worker, token) {
  const path = `/api/order/${encodeURIComponent(action)}?${new URLSearchParams({ worker })}`;
  return read(await fetch(path, { method: "POST", headers: { "statelog-console-token": token } }));
}

// Samples, as they come; `heard` is told of each, `lost` when the connection is gone. The browser itself tries again.
export function samples(heard, lost) {
  const source = new EventSource("/api/samples");
  source.addEventListener("message", (event) => heard(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    lost();
    if (source.readyState === EventSource.CLOSED) setTimeout(() => samples(heard, lost), 2000);
  });
}
