// The verbs beside signing in. Loaded when the first of them is used, or somebody is signed in.

/** End the session; `local` does not wait for the server, which is told as soon as it can be. */
export async function signOut(inside, { local, isTold } = {}) {
  const { byCookie, refreshCookie, request, over, leave, open, store, left } = inside;
  if (!local) {
    const { error } = await request("POST", "sign-out");
    if (!error) await over("signed_out");
    return { data: null, error: error?.status === 401 ? null : error };
  }
  await open();
  // Another tab may have renewed them, or be about to.
  await inside.tokens()?.load();
  const byAnyCookie = byCookie || refreshCookie;
  const { session } = store.data ?? {};
  // No script can delete the cookie: until it is gone, who is signed in by it is signed out at the first look.
  if (byAnyCookie && session) note((kept) => kept.setItem(left, `${session.id} ${session.authenticatedAt}`));
  depart(inside, byAnyCookie).then(
    ({ error }) => (!error || error.status === 401) && note((kept) => kept.removeItem(left)),
  );
  await (isTold ? leave : over)("signed_out");
  return { data: null, error: null };
}

/** Have the server end the session by what there is now; an access token that has expired is no end of it. */
async function depart({ send, access, tokens }, csrf) {
  const { refresh, attempt } = tokens()?.held() ?? {};
  const result = await send("POST", "sign-out", { token: access(), csrf });
  if (result.error?.status !== 401) return result;
  if (csrf) return send("POST", "sign-out", { csrf });
  if (!refresh) return result;
  const { data, error } = await send("POST", "token/refresh", { body: { refresh, attempt, passive: true } });
  return error ? { error } : send("POST", "sign-out", { token: data.access });
}

export async function listSessions({ request, camel }, from) {
  // Only the query: tokens go to no other server.
  const query = /\?[^#]*/.exec(from ?? "")?.[0] ?? "";
  const { data, error } = await request("GET", `sessions${query}`);
  return { data: data && { ...data, results: data.results.map(camel) }, error };
}

export const revokeSession = (inside, id) =>
  end(inside, id === inside.store.data?.session.id, "DELETE", `sessions/${encodeURIComponent(id)}`);

export const revokeOtherSessions = (inside) => end(inside, false, "POST", "sessions/revoke", { scope: "others" });

export const revokeSessions = (inside) => end(inside, true, "POST", "sessions/revoke", { scope: "all" });

export const reauthenticate = ({ byCookie, single, call, enterBy }, { password }) =>
  single(`reauthenticate ${password}`, () =>
    call((token) => enterBy("reauthenticate", { password }, { token, csrf: byCookie })),
  );

/** End sessions; `isOwn` tells whether this one is among them. */
async function end({ request, over }, isOwn, ...sent) {
  const { data, error } = await request(...sent);
  if (!error && isOwn) await over("signed_out");
  return { data, error };
}

const ABORTED = { data: null, error: { status: 0, code: "aborted", detail: "Nobody waits for the answer any more." } };

/** Run a verb until its caller gives up; what was sent may still be done. */
export function until(signal, run, verb) {
  return new Promise((done, fail) => {
    const stop = () => done(verb === "accessToken" ? null : ABORTED);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop);
    run().then(done, fail).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** Do something with the local storage, which may be denied. */
function note(task) {
  try {
    task(localStorage);
  } catch {
    // Then a sign-out without network holds as long as the page.
  }
}
