// What a component keeps between runs of the page's script.

const LOOK_MS = 500;

// Call `end` once a root has left the page, unless what this returns is called before. Streamlit ends a component and begins it anew on each
// run of the script, on a busy machine with more than a second between; only what is gone from the page has ended.
function endWhenGone(root, end) {
  let timer = 0;
  const look = () => {
    timer = setTimeout(() => (root.isConnected ? look() : end()), LOOK_MS);
  };
  look();
  return () => clearTimeout(timer);
}
