import { createSessionList } from "django-sessions-plus/list";
import { For, Show, from } from "solid-js";

import { client } from "./client.js";

export function Devices() {
  const list = createSessionList(client);
  const state = from(list);
  return (
    <>
      <ul>
        <For each={state().sessions}>
          {(each) => (
            <li>
              {each.device.label}
              <Show when={each.isCurrent} fallback={<button onClick={() => list.revoke(each.id)}>End</button>}>
                <span>This session</span>
              </Show>
            </li>
          )}
        </For>
      </ul>
      <Show when={state().hasNext}>
        <button onClick={() => list.next()}>More</button>
      </Show>
    </>
  );
}
