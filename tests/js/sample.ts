// Uses the types as a project would; "make js" has the compiler read it.

import { createSessionClient, type Session, type TokenStorage } from "django-sessions-plus";
import { SessionProvider, useAuth, useSession } from "django-sessions-plus/react";
import { createElement } from "react";

interface Person {
  id: number;
  username: string;
  firstName: string;
}

const storage: TokenStorage = {
  get: async () => null,
  set: async (text) => text.length,
  remove: () => undefined,
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

export const undo: () => void = client.session.subscribe(({ data, error, isRefetching }) => {
  const firstName: string | undefined = data?.user.firstName;
  console.log(firstName, error?.retryAfter, isRefetching, client.session.value.data === data);
});
client.on("signed-out", ({ reason, user }) => console.log(reason, user.firstName));
client.on("expiring", async ({ expiresIn, stay }) => expiresIn < 30 && (await stay()).data);
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

function Account() {
  const { user, isLoading, signOut } = useAuth<Person>();
  const { isRefetching } = useSession<Person>();
  return createElement("button", { onClick: () => signOut(), disabled: isLoading || isRefetching }, user?.firstName);
}

export const page = createElement(SessionProvider, { client }, createElement(Account));
