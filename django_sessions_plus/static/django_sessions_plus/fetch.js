// `fetch` in the name of the session. Loaded at its first use.

const CODES = /^(token_expired|invalid_token|session_ended|not_authenticated)$/;
const SAFE = /^(GET|HEAD|OPTIONS|TRACE)$/;

/** Throws a TypeError where there is no answer, also to the refresh the request needed first. */
export async function send(inside, input, init) {
  const { origin, byCookie, fetcher, csrfToken, prime, ready, access, mayEnd, recover } = inside;
  // By the address alone: a body can be read once.
  if (originOf(new Request(input.url ?? input).url) !== origin) return fetcher(new Request(input, init));

  const wanted = request(inside, input, init);
  const refusal = await ready();
  // Without a token it would be another request: what is refused then must not look like an end.
  if (refusal && refusal.status !== 401) throw failure(refusal);
  const token = access();
  const csrf = csrfToken();
  let response = await attempt(inside, wanted);
  if (byCookie && response.status === 403 && (await isAboutCsrf(wanted, response))) {
    // Unless a sign-in in another tab has renewed it already.
    if (csrfToken() === csrf) await prime();
    if (csrfToken() !== csrf) response = await attempt(inside, wanted);
  }
  if (response.status !== 401 || !mayEnd(token) || !isFrom(origin, response) || !(await isOurs(inside, response))) return response;
  const error = await recover(token);
  if (error && error.status !== 401) throw failure(error);
  return error ? response : attempt(inside, wanted);
}

/** The client's `credentials` are for whoever has said nothing else. */
function request({ credentials }, input, init) {
  const said = init?.credentials ?? (input.credentials !== "same-origin" && input.credentials);
  return new Request(input, { ...init, credentials: said || credentials });
}

async function attempt({ origin, byCookie, header, fetcher, csrfToken, prime, access, heed }, wanted) {
  const sent = wanted.clone();
  const token = access();
  if (token) sent.headers.set("Authorization", `Bearer ${token}`);
  if (byCookie && !SAFE.test(sent.method)) {
    if (!csrfToken()) await prime();
    sent.headers.set(header, csrfToken() ?? "");
  }
  const response = await fetcher(sent);
  if (isFrom(origin, response)) heed(response, token);
  return response;
}

/** Tell whether it was not another origin that has answered, to which a redirect has led. */
const isFrom = (origin, { url }) => !url || originOf(url) === origin;

/** Tell whether a 403 is Django's, REST framework's or the API's word that the CSRF token is wrong. */
const isAboutCsrf = async ({ method }, response) => !SAFE.test(method) && /csrf/i.test(await response.clone().text());

/** Tell whether a 401 is about the session, and not about something of the view's own. */
async function isOurs({ byCookie, read }, response) {
  const { code } = read(response, await response.clone().text()).error;
  const challenge = byCookie ? "invalid_token" : response.headers.get("WWW-Authenticate");
  const isBare = code === "unexpected_answer" && /invalid_token/.test(challenge);
  return isBare || CODES.test(code);
}

const originOf = (address) => /^https?:\/\/[^/]+/i.exec(address)?.[0].toLowerCase();

const failure = (error) => new TypeError(error.detail, { cause: error });
