// The same with React: no JSX, so that no build stands between this file and the browser.

import { createElement as h, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { createSessionClient } from "django-sessions-plus";
import { SessionProvider, useAuth, useSession } from "django-sessions-plus/react";

const client = createSessionClient({
  baseUrl: document.querySelector("#react").dataset.api,
  initialSession: JSON.parse(document.querySelector("#rendered-session").textContent),
  refetchInterval: 30,
});
window.client = client;

function Problem({ error }) {
  return error && h("p", { className: "message error", role: "alert" }, error.detail);
}

function Field({ label, ...attributes }) {
  const id = `react-${attributes.name}`;
  return h("div", { className: "field" }, h("label", { htmlFor: id }, label), h("input", { id, required: true, ...attributes }));
}

function SignIn() {
  const { signIn } = useAuth();
  const [error, setError] = useState(null);
  async function onSubmit(event) {
    event.preventDefault();
    const { username, password } = event.target.elements;
    const result = await signIn({ username: username.value, password: password.value });
    setError(result.error);
  }
  return h(
    "form",
    { className: "card", onSubmit },
    h(Problem, { error }),
    h(Field, { label: "Username", name: "username", autoComplete: "username" }),
    h(Field, { label: "Password", name: "password", type: "password", autoComplete: "current-password" }),
    h("button", { className: "primary wide", type: "submit" }, "Sign in"),
  );
}

function Devices() {
  const { listSessions, revokeOtherSessions, session } = useAuth();
  const [sessions, setSessions] = useState([]);
  const [error, setError] = useState(null);
  const reload = () => listSessions().then(({ data }) => setSessions(data?.results ?? []));
  useEffect(() => void reload(), [session.id]);
  async function onEnd() {
    setError((await revokeOtherSessions()).error);
    await reload();
  }
  return h(
    "section",
    { className: "card", "aria-labelledby": "react-devices" },
    h("h2", { id: "react-devices" }, "Your sessions"),
    h(Problem, { error }),
    h(
      "ul",
      { className: "devices" },
      sessions.map(({ id, name, device, ipAddress, isCurrent }) =>
        h(
          "li",
          { key: id },
          h(
            "div",
            { className: "device" },
            h("h3", null, name || device.label || "Unknown device", isCurrent && h("span", { className: "badge" }, "This session")),
            h("p", { className: "muted" }, ipAddress ?? "Unknown address"),
          ),
        ),
      ),
    ),
    h("button", { className: "danger", type: "button", onClick: onEnd }, "End all others"),
  );
}

function Account() {
  const { user, isLoading, signOut, refresh } = useAuth();
  if (isLoading) return h("p", { className: "muted" }, "Asking who is signed in…");
  if (!user) return h(SignIn);
  return h(
    "div",
    null,
    h(
      "section",
      { className: "card", "aria-labelledby": "react-user" },
      h("h2", { id: "react-user" }, user.username),
      h(Expiry),
      h(
        "div",
        { className: "after" },
        h("button", { type: "button", onClick: refresh }, "Refresh"),
        h("button", { type: "button", onClick: signOut }, "Sign out"),
      ),
    ),
    h(Devices),
  );
}

function Expiry() {
  const { data, isRefetching, error } = useSession();
  const until = data && new Date(data.session.expiresAt).toLocaleString();
  return h("p", { className: "muted" }, `Signed in until ${until}${isRefetching ? " …" : ""}${error ? `: ${error.detail}` : ""}`);
}

createRoot(document.querySelector("#react")).render(h(SessionProvider, { client }, h(Account)));
