// What the pages do by themselves: search, copying, and the contents beside the text where there is room.

const words = document.documentElement.dataset;

// Copying -------------------------------------------------------------------

for (const block of document.querySelectorAll("pre")) {
  const box = document.createElement("div");
  const button = document.createElement("button");
  box.className = "copied";
  button.type = "button";
  button.textContent = words.copy;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(block.textContent);
      button.textContent = words.copied;
      setTimeout(() => { button.textContent = words.copy; }, 1500);
    } catch { // It is not allowed: the text is chosen, and the keyboard copies it.
      getSelection().selectAllChildren(block);
    }
  });
  block.replaceWith(box);
  box.append(block, button);
}

// Contents ------------------------------------------------------------------

document.querySelector(".contents").open = matchMedia("(min-width: 84rem)").matches;
document.querySelector("#menu").addEventListener("keydown", event => {
  if (event.key === "Escape") location.hash = "";
});

// Search --------------------------------------------------------------------

const field = document.querySelector("#search");
const found = document.querySelector("#found");
let index = null;

// The index is a script, since pages that are opened from a disk may not read other files.
function load() {
  if (index) return;
  index = [];
  const script = document.createElement("script");
  script.src = `search.${document.documentElement.lang}.js`;
  document.head.append(script);
}

// Called by the index.
function search_in(sections) {
  index = sections.map(([page, title, anchor, heading, text]) =>
    ({ page, title, anchor, heading, text, low: fold(text), high: fold(`${title} ${heading}`) }));
  search();
}

// Without case and accents.
function fold(text) {
  return text.toLowerCase().normalize("NFD").replace(/[\u0300-\u036f]/g, "");
}

// A heading counts for more than the text below it, and a heading of few words for more than one of many.
function rank(section, wanted) {
  let sum = 0;
  for (const word of wanted) {
    const inside = section.low.indexOf(word) >= 0;
    if (section.high.includes(word)) sum += 10 + 40 * word.length / section.high.length;
    else if (!inside) return 0;
    if (inside) sum += 1;
  }
  return sum;
}

function search() {
  const wanted = fold(field.value).split(/\s+/).filter(Boolean);
  const best = index.map(section => ({ section, sum: rank(section, wanted) })).filter(each => each.sum)
    .sort((a, b) => b.sum - a.sum).slice(0, 12);
  found.replaceChildren(...best.map(({ section }) => entry(section, wanted)));
  found.hidden = !wanted.length;
  if (wanted.length && !best.length) {
    const nothing = document.createElement("li");
    nothing.textContent = words.nothing;
    found.append(nothing);
  }
}

function entry(section, wanted) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  const text = document.createElement("small");
  const at = Math.max(0, section.low.indexOf(wanted[0]) - 30);
  link.href = section.page + (section.anchor && `#${section.anchor}`);
  link.textContent = section.heading ? `${section.title}: ${section.heading}` : section.title;
  text.textContent = section.text.slice(at, at + 110);
  link.append(text);
  item.append(link);
  return item;
}

function close_search() {
  found.hidden = true;
}

field.addEventListener("focus", load);
field.addEventListener("input", search);
field.addEventListener("keydown", event => {
  if (event.key === "Enter") found.querySelector("a")?.click();
  if (event.key === "ArrowDown") found.querySelector("a")?.focus();
});
found.addEventListener("keydown", event => {
  const item = document.activeElement.closest("li");
  const step = { ArrowDown: item?.nextElementSibling, ArrowUp: item?.previousElementSibling }[event.key];
  if (step) step.querySelector("a").focus();
  if (event.key.startsWith("Arrow")) event.preventDefault();
});
found.addEventListener("click", close_search);
document.addEventListener("keydown", event => {
  if (event.key === "Escape") close_search();
  if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) {
    event.preventDefault();
    field.focus();
  }
});
document.addEventListener("click", event => {
  if (!event.target.closest("search")) close_search();
});
