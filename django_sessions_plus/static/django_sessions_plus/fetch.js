// `fetch` in the name of the session. Loaded at its first use.

const CODES = /^(token_expired|invalid_token|session_ended|not_authenticated)$/;
const SAFE = /^(GET|HEAD|OPTIONS|TRACE)$/;

export function createFetch({ origin, byCookie, header, fetcher, csrfToken, prime, ready, access, mayEnd, recover, answer }) {
  async function attempt(wanted) {
    const sent = wanted.clone();
    if (!byCookie) {
      if (access()) sent.headers.set("Authorization", `Bearer ${access()}`);
    } else if (!SAFE.test(sent.method)) {
      if (!csrfToken()) await prime();
      sent.headers.set(header, csrfToken() ?? "");
    }
    return fetcher(sent);
  }

  /** Tell whether a 401 is about the session, and not about something of the view's own. */
  async function isOurs(response) {
    const { code } = answer(response, await response.clone().text()).error;
    const challenge = byCookie ? "invalid_token" : response.headers.get("WWW-Authenticate");
    const isBare = code === "unexpected_answer" && /invalid_token/.test(challenge);
    return isBare || CODES.test(code);
  }

  return async (input, init) => {
    const wanted = new Request(input, init);
    if (new URL(wanted.url).origin !== origin) return fetcher(wanted);
    await ready();
    const token = access();
    const response = await attempt(wanted);
    if (response.status !== 401 || !mayEnd(token) || !(await isOurs(response))) return response;
    return (await recover(token)) ? response : attempt(wanted);
  };
}
