// What a component keeps between runs of the page's script.
//
// Streamlit calls a component again when what it is told changes, or the colours do. Where a call comes before the module of the one
// before was loaded, it ends that earlier one after it has begun the later one, on the same root. So only what has left the page has ended.

const LOOK_MS = 500;
const lasting = new WeakMap();

// Return what a root keeps, made anew where it is known by another id, and what the component returns as its end.
function lastingOf(root, id, make) {
  let kept = lasting.get(root);
  clearTimeout(kept?.timer);
  if (kept?.id !== id) {
    kept?.made.stop();
    kept = { id, made: make(), timer: 0 };
    lasting.set(root, kept);
  }
  const end = () => {
    clearTimeout(kept.timer);
    if (lasting.get(root) !== kept) return;
    kept.timer = setTimeout(() => {
      if (root.isConnected) return end();
      kept.made.stop();
      lasting.delete(root);
    }, LOOK_MS);
  };
  return [kept.made, end];
}
