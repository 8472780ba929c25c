// The buttons of the triage page, the list of its keys, and what stands in the place of a clip. Every button has a key.

function buildControls(triage) {
  const { verdicts, reasons } = triage.data;
  const help = triage.find("help");
  triage.find("verdicts").replaceChildren(
    ...verdicts.map(({ verdict, label, key }) => {
      const made = keyButton(triage, label, key.toUpperCase(), `triage-${verdict}`, () => triage.judge(verdict));
      made.dataset.verdict = verdict;
      return made;
    }),
  );
  triage.find("reasons").replaceChildren(
    ...reasons.map((reason, at) => {
      const made = keyButton(triage, reason, String(at + 1), `triage-reason-${at + 1}`, () => triage.toggleReason(reason));
      made.dataset.reason = reason;
      return made;
    }),
  );
  triage.find("moves").replaceChildren(
    keyButton(triage, "Back", "←", "triage-back", () => triage.move(-1)),
    keyButton(triage, "Skip", "→", "triage-skip", () => triage.move(1)),
    keyButton(triage, "Undo", "U", "triage-undo", () => triage.undo()),
    keyButton(triage, "Play", "Space", "triage-play", () => triage.togglePlay()),
    keyButton(triage, "Keys", "?", "triage-keys", () => help.showModal()),
  );
  const close = element("button", { type: "button", textContent: "Close" });
  close.addEventListener("click", () => help.close(), { signal: triage.ended.signal });
  help.replaceChildren(element("h2", { textContent: "Keys" }), keyList(verdicts), close);
}

function keyButton(triage, label, key, testid, run) {
  const made = element("button", { type: "button" });
  made.dataset.testid = testid;
  made.setAttribute("aria-keyshortcuts", { "←": "ArrowLeft", "→": "ArrowRight" }[key] ?? key);
  made.append(element("span", { className: "mark" }), label, " ", element("kbd", { textContent: key }));
  const onClick = (event) => {
    run();
    if (event.detail) made.blur(); // clicked, not pressed: the space bar plays again
  };
  made.addEventListener("click", onClick, { signal: triage.ended.signal });
  return made;
}

function keyList(verdicts) {
  const lines = [
    ...verdicts.map(({ label, key }) => [key.toUpperCase(), `${label}, and on to the next clip`]),
    ["1 to 9", "a reason on or off, for the verdict that follows or the one given"],
    ["N", "write a note; Enter keeps it, Escape leaves it as it was"],
    ["U", "take the last verdict back"],
    ["← →", "go back, or skip"],
    ["Space", "play or pause"],
    ["?", "this list"],
  ];
  const list = element("dl");
  for (const [key, text] of lines) {
    const term = element("dt");
    term.append(element("kbd", { textContent: key }));
    list.append(term, element("dd", { textContent: text }));
  }
  return list;
}

// Say why no clip is shown, and where to go.
function fillEnd(end, { state, title, detail, advice }, links = []) {
  end.dataset.state = state;
  const texts = [detail, advice].filter(Boolean).map((text) => element("p", { textContent: text }));
  const made = links.map(({ label, href }) => element("a", { href, textContent: label }));
  for (const link of made) link.dataset.soft = "1";
  end.replaceChildren(element("h2", { textContent: title }), ...texts, ...made);
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}
