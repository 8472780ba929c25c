// Find a class by a part of its name, and add it to the filters of the URL.
//
// What is typed goes to Python as the state `text`; the classes that hold it come back as data, with the text they are of.

const TYPE_WAIT_MS = 150;

export default function (component) {
  const { parentElement, data, setStateValue } = component;
  const find = (selector) => parentElement.querySelector(selector);
  const input = find("input");
  const list = find("ul");
  const hint = find(".hint");
  const memory = (parentElement.memory ??= { at: -1, timer: 0, open: false });
  memory.set = setStateValue;
  memory.data = data;

  const close = () => {
    memory.open = false;
    memory.at = -1;
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };

  const choose = (name) => {
    const gme = find("#o-class-gme").value;
    const numbers = gme ? `gme${gme}` : "";
    // As `Wanted.text` writes it: a colon ends the name where it holds one itself.
    const text = numbers || name.includes(":") ? `${name}:${numbers}` : name;
    const url = new URL(location.href);
    const mode = find("#o-class-mode").value;
    if (!url.searchParams.getAll(mode).includes(text)) url.searchParams.append(mode, text);
    url.searchParams.delete("after");
    input.value = "";
    hint.textContent = "";
    close();
    memory.set("text", "");
    document.dispatchEvent(new CustomEvent("o-go", { detail: url.href }));
  };

  const mark = () => {
    [...list.children].forEach((item, index) => {
      item.setAttribute("aria-selected", String(index === memory.at));
      if (index === memory.at) {
        input.setAttribute("aria-activedescendant", item.id);
        item.scrollIntoView({ block: "nearest" });
      }
    });
  };

  const draw = () => {
    const { classes, text } = memory.data;
    const isCurrent = text === input.value.trim();
    list.replaceChildren();
    if (!memory.open || !isCurrent) {
      if (!memory.open) close();
      return;
    }
    classes.forEach((one, index) => {
      const item = list.appendChild(document.createElement("li"));
      item.id = `o-class-${index}`;
      item.setAttribute("role", "option");
      item.append(one.name);
      const count = item.appendChild(document.createElement("span"));
      count.className = "count";
      count.textContent = `${one.num_clips.toLocaleString("en")} ${one.num_clips === 1 ? "clip" : "clips"}`;
      item.addEventListener("pointerdown", (event) => event.preventDefault());
      item.addEventListener("click", () => choose(one.name));
    });
    list.hidden = classes.length === 0;
    input.setAttribute("aria-expanded", String(classes.length > 0));
    hint.textContent = classes.length ? `${classes.length} ${classes.length === 1 ? "class" : "classes"}` : "No class holds this text";
    if (memory.at >= classes.length) memory.at = -1;
    mark();
  };
  memory.draw = draw;

  if (!memory.isReady) {
    memory.isReady = true;
    const ask = () => {
      memory.open = true;
      clearTimeout(memory.timer);
      memory.timer = setTimeout(() => {
        const text = input.value.trim();
        if (text === memory.data.text) memory.draw();
        else memory.set("text", text);
      }, TYPE_WAIT_MS);
    };
    input.addEventListener("input", () => {
      memory.at = -1;
      ask();
    });
    input.addEventListener("focus", ask);
    input.addEventListener("blur", () => {
      clearTimeout(memory.timer);
      close();
    });
    input.addEventListener("keydown", (event) => {
      const { classes } = memory.data;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        if (list.hidden) return ask();
        const step = event.key === "ArrowDown" ? 1 : -1;
        memory.at = (memory.at + step + classes.length + (memory.at < 0 && step < 0 ? 1 : 0)) % classes.length;
        mark();
      } else if (event.key === "Enter") {
        event.preventDefault();
        const typed = input.value.trim();
        const exact = classes.find((one) => one.name === typed);
        const one = memory.at >= 0 ? classes[memory.at] : exact;
        if (one) choose(one.name);
        else if (typed) hint.textContent = "Choose a class of the list: names must be exact";
      } else if (event.key === "Escape") close();
    });
  }
  draw();
}
