// Follow links of the pages without a reload, keep the focus, and say why a picture is missing.
//
// Streamlit runs its script again for `popstate`, with the URL as it then is: so a link is an entry of the history and that event.
// It replaces elements as it runs; whoever had the focus is found again by `data-keep`.

const KEEP_MS = 8000;

let states = {};
let isFollowing = false;

// Once a document: when the colours change, Streamlit calls this again and ends nothing.
export default function ({ data }) {
  states = data?.[0] ?? {};
  if (!isFollowing) follow();
  isFollowing = true;
}

function follow() {
  const root = document;
  // One place for what readers shall say: those of pages are replaced before they are heard.
  const voice = root.body.appendChild(root.createElement("div"));
  voice.className = "o-hidden";
  voice.setAttribute("aria-live", "polite");
  voice.dataset.testid = "voice";
  const say = (text) => {
    if (voice.textContent !== text) voice.textContent = text;
  };
  let heard = "";
  let kept = null;
  let keptUntil = 0;

  const go = (url) => {
    const keep = root.activeElement?.closest?.("[data-keep]")?.dataset.keep ?? null;
    kept = keep;
    keptUntil = Date.now() + KEEP_MS;
    const changesPage = url.pathname !== location.pathname;
    history.pushState({}, "", url.pathname + url.search);
    dispatchEvent(new PopStateEvent("popstate", { state: {} }));
    if (changesPage) {
      kept = "main";
      root.querySelector("[data-testid='stMain']")?.scrollTo({ top: 0 });
    }
  };

  const onClick = (event) => {
    // The first of the path is the one clicked also inside of a component's shadow.
    const link = event.composedPath().find((one) => one instanceof Element && one.matches("a[data-soft]"));
    if (!link || event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const url = new URL(link.getAttribute("href"), location.href);
    if (url.origin !== location.origin) return;
    event.preventDefault();
    go(url);
  };

  // Scripts of other components ask for an address so.
  const onGo = (event) => {
    const url = new URL(event.detail, location.href);
    if (url.origin === location.origin) go(url);
  };

  const onCopy = async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const text = button.dataset.copy === "@address" ? location.href : button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
      button.dataset.said = "copied";
    } catch {
      say("The browser does not allow copying: select the text instead");
      button.dataset.said = "failed";
    }
    setTimeout(() => delete button.dataset.said, 2000);
  };

  // Whoever goes on by hand has the focus where it is wanted.
  const onHand = () => {
    kept = null;
  };

  const onKey = (event) => {
    // A link that stands for a box to check answers to the space bar, as boxes do.
    if (event.key !== " " || !event.target.matches?.("a[role='checkbox']")) return;
    event.preventDefault();
    event.target.click();
  };

  const explain = async (image) => {
    const place = image.closest(".o-picture");
    if (!place || place.dataset.state) return;
    place.dataset.state = "unreachable";
    place.classList.add("o-failed");
    let code = "unreachable";
    try {
      const answer = await fetch(image.currentSrc || image.src, { method: "HEAD" });
      code = answer.headers.get("X-State") ?? (answer.ok ? "corrupt" : code);
    } catch {
      // no answer: the state says so
    }
    place.dataset.state = code;
    const words = place.querySelector(".o-words") ?? place.appendChild(root.createElement("span"));
    words.className = "o-words";
    words.textContent = states[code] ?? states.unreachable ?? "No picture";
  };

  const onError = (event) => {
    if (event.target instanceof HTMLImageElement && event.target.matches("img[data-media]")) explain(event.target);
  };

  // A fold that was opened stays open when its contents are replaced.
  const folds = new Map();
  const onToggle = (event) => {
    const fold = event.target;
    if (fold.matches?.("details[data-testid]")) folds.set(fold.dataset.testid, fold.open);
  };

  const look = () => {
    for (const fold of root.querySelectorAll("details[data-testid]:not([data-seen])")) {
      fold.dataset.seen = "1";
      if (folds.has(fold.dataset.testid)) fold.open = folds.get(fold.dataset.testid);
    }
    for (const image of root.querySelectorAll("img[data-media]")) {
      if (image.complete && image.naturalWidth === 0 && image.currentSrc) explain(image);
    }
    const said = [...root.querySelectorAll("[data-announce]")].at(-1)?.textContent.trim();
    if (said && said !== heard) {
      heard = said;
      say(said);
    }
    if (!kept || Date.now() > keptUntil) return;
    const active = root.activeElement;
    if (active && active !== root.body && active.isConnected && active.dataset?.keep !== kept && kept !== "main") {
      kept = null;
      return;
    }
    if (active?.dataset?.keep === kept) return;
    root.querySelector(`[data-keep="${CSS.escape(kept)}"]`)?.focus({ preventScroll: true });
  };

  let waiting = 0;
  const observer = new MutationObserver(() => {
    if (waiting) return;
    waiting = requestAnimationFrame(() => {
      waiting = 0;
      look();
    });
  });
  observer.observe(root.body, { childList: true, subtree: true });
  root.addEventListener("click", onClick);
  root.addEventListener("click", onCopy);
  root.addEventListener("o-go", onGo);
  root.addEventListener("keydown", onHand, true);
  root.addEventListener("pointerdown", onHand, true);
  root.addEventListener("keydown", onKey);
  root.addEventListener("error", onError, true);
  root.addEventListener("toggle", onToggle, true);
  look();
}
