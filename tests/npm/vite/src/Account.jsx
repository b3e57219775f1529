import { Match, Show, Switch, createSignal, from } from "solid-js";

import { client } from "./client.js";
import { Devices } from "./Devices.jsx";

export function Account() {
  const session = from(client.session);
  const [problem, setProblem] = createSignal("");

  async function signIn(event) {
    event.preventDefault();
    const { error } = await client.signIn(Object.fromEntries(new FormData(event.target)));
    setProblem(error?.detail ?? "");
  }

  return (
    <Switch>
      <Match when={session().isPending}>
        <p>One moment</p>
      </Match>
      <Match when={session().data}>
        <h1>{session().data?.user.username}</h1>
        <Devices />
        <button onClick={() => client.signOut()}>Sign out</button>
      </Match>
      <Match when={true}>
        <form onSubmit={signIn}>
          <label>Name <input name="username" /></label>
          <label>Password <input name="password" type="password" /></label>
          <button>Sign in</button>
          <Show when={problem()}><p role="alert">{problem()}</p></Show>
        </form>
      </Match>
    </Switch>
  );
}
