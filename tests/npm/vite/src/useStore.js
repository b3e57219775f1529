import { onScopeDispose, shallowRef } from "vue";

/** A store of the client as a ref, as long as the component is there. */
export function useStore(store) {
  const state = shallowRef(store.get());
  onScopeDispose(store.subscribe((value) => (state.value = value)));
  return state;
}
