// Reads the session of a request on a server that renders pages: Next.js, or plain Node.

import { createSessionClient } from "./client.js";

// The last two are for a Django that is told of its proxies.
const FORWARDED = ["cookie", "authorization", "user-agent", "accept-language", "x-forwarded-for", "x-forwarded-proto"];

const failed = (error) => ({ data: null, error, initialSession: undefined });

/** Ask the API whose session the credentials of a request are, as no activity of theirs. */
export async function sessionFromRequest(request, { baseUrl, fetch = globalThis.fetch, timeout = 10 } = {}) {
  if (!/^https?:/.test(baseUrl)) throw new TypeError("baseUrl must be absolute on a server, such as http://127.0.0.1:8000/auth/");
  const sent = forwarded(request.headers);
  if (!sent.cookie && !sent.authorization) return known({ session: null, user: null });
  let response, body;
  try {
    response = await fetch(`${baseUrl.replace(/\/*$/, "/")}session?passive=true`, {
      headers: { ...sent, accept: "application/json" },
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(timeout * 1000),
    });
    body = await response.json().catch(() => ({}));
  } catch {
    return failed({ status: 0, code: "network_error", detail: `No answer from ${baseUrl}.` });
  }
  if (response.status === 401) return known({ session: null, user: null });
  if (response.ok && body?.session !== undefined) return known(body);
  const detail = `The server's answer (HTTP ${response.status}) is not one of the API.`;
  return failed({ code: "unexpected_answer", detail, ...(response.ok ? {} : body), status: response.status });
}

/** The same names and values as on the page. A client without a page listens to nothing and waits for nothing. */
function known(initialSession) {
  const { data } = createSessionClient({ initialSession }).session.get();
  return { data, error: null, initialSession };
}

/** Both of `Request` and of Node's own requests. */
function forwarded(headers) {
  const read = (name) => (typeof headers.get === "function" ? headers.get(name) : headers[name]);
  return Object.fromEntries(FORWARDED.map((name) => [name, read(name)]).filter(([, value]) => value));
}
