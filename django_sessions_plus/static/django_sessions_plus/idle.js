// Tells when the person has done nothing for a while in any tab. Loaded where `idleAfter` asks for it.

const USE = ["pointerdown", "pointermove", "keydown", "wheel", "touchmove"];

export function watchIdle({ idleAfter, listenTo, undo, store, emit, tell, stay }) {
  const span = idleAfter * 1000;
  let usedAt = performance.now();
  let toldAt = -Infinity;
  let isIdle = false;
  let timer = setTimeout(check, span);

  function check() {
    const rest = usedAt + span - performance.now();
    if (rest > 0) timer = setTimeout(check, rest);
    else {
      isIdle = true;
      if (store.data) emit("idle", { idleFor: idleAfter, stay: () => (onUse(), stay()) });
    }
  }

  function used() {
    usedAt = performance.now();
    if (!isIdle) return;
    isIdle = false;
    clearTimeout(timer);
    timer = setTimeout(check, span);
  }

  /** The other tabs hear of it a few times in the span. */
  function onUse() {
    used();
    if (usedAt - toldAt < span / 10) return;
    toldAt = usedAt;
    tell({ type: "used" });
  }

  for (const type of USE) listenTo(document, type, onUse, { passive: true, capture: true });
  undo.push(() => clearTimeout(timer));
  return { isIdle: () => isIdle, used };
}
