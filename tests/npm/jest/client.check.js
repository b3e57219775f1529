/** @jest-environment jsdom */
// Jest as it is installed: CommonJS, no transformer, no flag of Node.

const { createSessionClient } = require("django-sessions-plus");
const { SessionProvider, useAuth, useSessions } = require("django-sessions-plus/react");
const { StrictMode, act, createElement } = require("react");

globalThis.IS_REACT_ACT_ENVIRONMENT = true;

const answer = (body, status = 200) => ({
  ok: status < 400,
  status,
  headers: new Headers(),
  text: async () => JSON.stringify(body),
  clone: () => answer(body, status),
});
const SIGNED_IN = {
  session: { id: "1", expires_in: 3600, expires_at: "2026-01-05T10:00:00Z" },
  user: { id: 7, first_name: "Ada" },
};

afterEach(() => localStorage.clear());

function clientOf(options) {
  const asked = [];
  const fetch = async (address, init) => {
    asked.push([new URL(address).pathname, init?.headers]);
    return answer({ ...SIGNED_IN, access: "a", refresh: "r", expires_in: 900 });
  };
  return { asked, client: createSessionClient({ fetch, ...options }) };
}

test("a client signs in, and its parts are loaded", async () => {
  const { asked, client } = clientOf({ transport: "jwt", storage: "local" });
  const { data, error } = await client.signIn({ username: "ada", password: "x" });
  expect(error).toBeNull();
  expect(data.user.firstName).toBe("Ada");
  expect(asked[0][0]).toBe("/auth/sign-in");
  expect(Object.values(localStorage).join()).toContain('"refresh":"r"');
  client.close();
});

function rendered(client, component) {
  // React asks for it when it is imported.
  globalThis.TextEncoder ??= require("util").TextEncoder;
  const { createRoot } = require("react-dom/client");
  const place = document.createElement("div");
  const root = createRoot(place);
  const inside = createElement(SessionProvider, { client }, createElement(component));
  return { place, root, render: () => root.render(createElement(StrictMode, null, inside)) };
}

test("React renders who is signed in", async () => {
  const { client } = clientOf();
  const { place, render } = rendered(client, () => createElement("p", null, useAuth().user?.firstName));
  await act(async () => {
    render();
    await client.getSession();
  });
  expect(place.textContent).toBe("Ada");
  client.close();
});

test("React lists sessions, and one that ends is gone at once", async () => {
  let list = [{ id: "1", is_current: true }, { id: "2" }, { id: "3" }];
  let finish;
  const fetch = async (address, { method = "GET" } = {}) => {
    const path = new URL(address).pathname;
    if (path === "/auth/sessions") return answer({ results: list, next: null, previous: null });
    if (method === "DELETE") return new Promise((done) => (finish = () => done(answer({ code: "permission_denied" }, 403))));
    return answer(SIGNED_IN);
  };
  const { client } = clientOf({ fetch, initialSession: SIGNED_IN });
  let seen;
  const { root, render } = rendered(client, () => {
    seen = useSessions();
    return null;
  });
  const ids = () => seen.sessions.map(({ id }) => id).join("");
  await act(async () => render());
  expect(ids()).toBe("123");
  let ending;
  await act(async () => (ending = seen.revoke("2"), undefined));
  expect(ids()).toBe("13");
  await act(async () => (finish(), (await ending).error));
  expect([ids(), seen.error.code]).toEqual(["123", "permission_denied"]);
  list = list.slice(0, 1);
  await act(() => seen.reload());
  expect(ids()).toBe("1");
  await act(async () => root.unmount());
  client.close();
});
