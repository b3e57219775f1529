// The client page: what a page without a bundler does with the browser client.

import { createSessionClient } from "django-sessions-plus";

const place = document.querySelector("#client");
const transport = place.dataset.transport;
const rendered = document.querySelector("#rendered-session");

const client = createSessionClient({
  baseUrl: place.dataset.api,
  transport,
  refetchInterval: 30,
  idleAfter: 300,
  // By cookie the server knows who is signed in when it renders the page.
  initialSession: transport === "cookie" ? JSON.parse(rendered.textContent) : undefined,
});
// For trying it out in the browser's console.
window.client = client;

const find = (name) => place.querySelector(`[data-${name}]`);
const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const moment = (text) => (text ? format.format(new Date(text)) : "not yet");

/** Make an element with text or with children; nothing here is ever parsed as HTML. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function note(text) {
  const at = new Date().toLocaleTimeString();
  find("events").prepend(element("li", {}, element("code", {}, at), ` ${text}`));
  find("events-empty").hidden = true;
}

function showProblem(error) {
  find("problem").hidden = !error;
  find("problem").textContent = error?.detail ?? "";
}

function show({ data, error, isPending }) {
  place.setAttribute("aria-busy", String(isPending));
  find("pending").hidden = !isPending;
  find("anonymous").hidden = isPending || Boolean(data);
  find("signed-in").hidden = !data;
  showProblem(error);
  if (!data) return;
  const { session, user } = data;
  find("user").textContent = find("username").value = user.username;
  find("device").textContent = session.name || session.device.label || "Unknown device";
  find("address").textContent = session.ipAddress ?? "not recorded";
  find("signed-in-at").textContent = moment(session.authenticatedAt);
  find("expires-at").textContent = moment(session.expiresAt);
  find("id").textContent = session.id;
}

async function listSessions() {
  const { data, error } = await client.listSessions();
  showProblem(error);
  if (!data) return;
  find("sessions").replaceChildren(
    ...data.results.map((session) => {
      const label = session.name || session.device.label || "Unknown device";
      const button = element("button", { class: "danger", type: "button" }, "End");
      button.append(element("span", { class: "unseen" }, ` the session of ${label}`));
      button.addEventListener("click", () => run(() => client.revokeSession(session.id)));
      const heading = element("h3", {}, element("span", {}, label));
      if (session.isCurrent) heading.append(" ", element("span", { class: "badge" }, "This session"));
      const seen = `${session.ipAddress ?? "Unknown address"}, last seen ${moment(session.lastSeenAt)}`;
      const about = element("div", { class: "device" }, heading, element("p", { class: "muted" }, seen));
      return element("li", {}, about, button);
    }),
  );
}

/** Do something, show why it failed if it did, and what is on the list now. */
async function run(act) {
  const { error } = await act();
  if (error?.code === "reauthentication_required") find("again").hidden = false;
  showProblem(error);
  if (!error && client.session.data) await listSessions();
}

const ACTS = {
  refetch: () => run(client.getSession),
  refresh: () => run(client.refresh),
  others: () => run(client.revokeOtherSessions),
  "sign-out": () => run(client.signOut),
};
for (const [name, act] of Object.entries(ACTS)) find(`act-${name}`).addEventListener("click", act);

find("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const { username, password, remember } = event.target.elements;
  run(() =>
    client.signIn({ username: username.value, password: password.value, remember: remember.checked }),
  ).then(() => {
    password.value = "";
  });
});

find("again").addEventListener("submit", (event) => {
  event.preventDefault();
  const { password } = event.target.elements;
  run(() => client.reauthenticate({ password: password.value })).then(() => {
    password.value = "";
    event.target.hidden = !find("problem").textContent;
  });
});

client.on("signed-in", ({ user }) => {
  note(`${user.username} signed in`);
  listSessions();
});
client.on("signed-out", ({ user, reason }) => note(`${user.username} signed out: ${reason}`));
client.on("expiring", ({ expiresIn }) => note(`expires in ${Math.round(expiresIn)} seconds`));
client.on("expired", () => note("the session has expired"));
client.on("idle", ({ idleFor, stay }) => {
  note(`nothing done for ${idleFor} seconds`);
  const button = element("button", { type: "button" }, "Stay signed in");
  button.addEventListener("click", () => {
    button.remove();
    stay();
  });
  find("events").prepend(element("li", {}, button));
});
client.session.subscribe(show);
if (client.session.data) listSessions();
