// Uses the types as a project would; the compiler reads it.

import {
  createSessionClient,
  type ErrorCode,
  type Session,
  type SessionData,
  type TokenStorage,
} from "django-sessions-plus";
import { Api, authClient, createTypedClient } from "django-sessions-plus/compat";
import { createSessionList } from "django-sessions-plus/list";
import { SessionProvider, useAuth, useSession, useSessions } from "django-sessions-plus/react";
import { sessionFromRequest } from "django-sessions-plus/server";
import { createElement } from "react";

interface Person {
  id: number;
  username: string;
  firstName: string;
}

const storage: TokenStorage = {
  getItem: async () => null,
  setItem: async (key, text) => key.length + text.length,
  removeItem: () => undefined,
};

export const client = createSessionClient<Person>({
  baseUrl: "/auth/",
  transport: "jwt",
  storage,
  refetchInterval: 60,
  refetchOnWindowFocus: true,
  refetchWhenOffline: false,
  fetch: globalThis.fetch,
  credentials: "include",
  csrf: { cookie: "__Host-csrftoken" },
  onStateChange: ({ data, isPending }) => console.log(isPending, data?.user.firstName),
});

export async function reference(): Promise<string | undefined> {
  const { data } = await client.auth.getSession();
  if (data) console.log(data.user.username, data.session.expiresAt);
  return data?.session.device.label;
}

export async function narrowed(): Promise<Session[]> {
  const result = await client.listSessions();
  if (result.error) {
    const code: string = result.error.code;
    throw new Error(code);
  }
  return result.data.results;
}

export async function destructured(): Promise<SessionData<Person> | string> {
  const { data, error } = await client.signIn({ username: "ada", password: "x" });
  // @ts-expect-error nobody knows yet whether there is somebody
  console.log(data.user.firstName);
  if (error) return error.detail;
  return data;
}

export async function looked(): Promise<string> {
  const known = await client.getSession();
  if (known.error) return known.error.code;
  return known.data ? known.data.user.firstName : "nobody";
}

// A code of the project's own.
declare module "django-sessions-plus" {
  interface ProjectErrorCodes {
    account_locked: true;
  }
}

export function words(code: ErrorCode): string {
  switch (code) {
    case "invalid_credentials":
      return "Wrong name or password.";
    case "network_error":
    case "aborted":
      return "Try again.";
    case "account_locked":
      return "Ask the staff.";
    // @ts-expect-error there is no such code
    case "invalid_credential":
      return "";
    default:
      return code;
  }
}

export async function withSignals(): Promise<string | null> {
  const { signal } = new AbortController();
  await client.getSession({ passive: true, signal });
  await client.signIn({ username: "ada", password: "x" }, { signal });
  await client.listSessions(null, { signal });
  await client.revokeSession("1", { signal });
  await client.revokeOtherSessions({ signal });
  await client.revokeSessions({ signal });
  await client.reauthenticate({ password: "x" }, { signal });
  await client.refresh({ signal });
  await client.signOut({ local: true, signal });
  return client.accessToken({ signal });
}

createSessionClient({ storage: localStorage });

export const undo: () => void = client.session.subscribe(({ data, error, isRefetching }) => {
  const firstName: string | undefined = data?.user.firstName;
  console.log(firstName, error?.retryAfter, isRefetching, client.session.value.data === data);
});
client.on("signed-out", ({ reason, user }) => console.log(reason, user.firstName));
client.on("expiring", async ({ expiresIn, stay }) => expiresIn < 30 && (await stay()).data);
client.on("initial-session", (known) => console.log(known?.user.firstName));
client.on("token-refreshed", (known) => console.log(known?.session.id));
client.on("idle", ({ idleFor, stay }) => idleFor > 0 && stay());
client.on("signed-out", ({ reason }) => reason === "revoked" && client.getSession({ passive: true }));
// @ts-expect-error it is true or false
client.getSession({ passive: 1 });
// @ts-expect-error there is no such event
client.on("signed-of", () => undefined);
// @ts-expect-error a transport that does not exist
createSessionClient({ transport: "header" });
// @ts-expect-error the password is missing
client.signIn({ username: "ada" });
// @ts-expect-error the state is not to be written
client.session.data = null;

export async function onServer(request: Request): Promise<string | undefined> {
  const options = { baseUrl: "http://127.0.0.1:8000/auth/" };
  const { data, error, initialSession } = await sessionFromRequest<Person>(request, options);
  createSessionClient(initialSession ? { initialSession } : {});
  await sessionFromRequest({ headers: { cookie: "a=b" } }, options);
  // @ts-expect-error a server has no page to be relative to
  await sessionFromRequest(request);
  return error ? error.detail : data?.user.firstName;
}

export async function comingFromElsewhere(): Promise<string | undefined> {
  const api = new Api<Person>({ host: "https://example.com", storage: localStorage, tokenTransport: "header" });
  const { ok, data, error } = await api.auth.login("password", { email: "ada@example.com", password: "x" });
  if (!ok) throw new Error(error?.message || "Login failed");
  const typed = createTypedClient({ plugins: [authClient({ session: { refetchInterval: 300 } })] });
  typed.$session.listen(({ isPending }) => console.log(isPending));
  return data.user.firstName ?? api.getUser()?.firstName;
}

createSessionList(client).subscribe(({ sessions, hasNext }) => console.log(sessions.length, hasNext));

function Devices() {
  const { sessions, revoke, revokeOthers, error } = useSessions();
  const buttons = sessions.map(({ id, device }) => createElement("button", { key: id, onClick: () => revoke(id) }, device.label));
  return createElement("div", { onClick: () => revokeOthers() }, buttons, error?.code);
}

function Account() {
  const auth = useAuth<Person>();
  const { isRefetching } = useSession<Person>();
  if (auth.isSignedIn) console.log(auth.user.firstName, auth.session.id);
  const { user, isLoading, signOut } = auth;
  return createElement("button", { onClick: signOut, disabled: isLoading || isRefetching }, user?.firstName);
}

export const page = createElement(SessionProvider, { client }, createElement(Account), createElement(Devices));
