// Gets past a refusal: by a new token, or by the certainty that the session is over. Loaded at the first refusal.

// Milliseconds until what another tab did is known here; without locks it may still be under way.
const DELAY = globalThis.navigator?.locks ? 50 : 500;

/** Return null where another try is worth it, else the error. Only one tab is in here at a time. */
export async function settle(inside, token, isPassive) {
  const { epoch, access, store, isAnonymous, isTemporary, send, take, over, leave, told, NOBODY, PASSIVE } = inside;
  const tokens = inside.tokens();
  const at = epoch();
  const isOvertaken = () => epoch() !== at || access() !== token;
  const outcome = () => (isAnonymous() ? NOBODY.error : null);
  await tokens?.load();
  if (!isOvertaken() && (token || store.data)) {
    await new Promise((done) => setTimeout(done, DELAY));
    await tokens?.load();
  }
  if (isOvertaken()) return outcome();
  const ask = async () =>
    tokens?.renew ? ((await tokens.renew(isPassive)) ?? NOBODY) : send("GET", PASSIVE, { token });
  // An end is believed at the second word; the first may be about a token just replaced.
  let result = await ask();
  if (result.error && isTemporary(result.error) && !result.error.retryAfter) result = await ask();
  if (isOvertaken()) return outcome();
  const { error } = result;
  if (error && error.status !== 401 && error.code !== "invalid") return error;
  if (!error && ((await take(result)) || tokens?.renew)) return null;
  await (store.data ? over : leave)(told() ?? "session_ended");
  return NOBODY.error;
}
