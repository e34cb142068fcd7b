// Asks for what is new until the boots are over; then the page stays as it is. What comes is HTML that azready made and
// escaped, and console lines, which are text.
const main = document.querySelector("main"), said = document.querySelector("#said"), pre = document.querySelector("#console");
let version = "", lines = 0, boot = 0, over = false;

function show(state) {
  if (state.boot !== boot) { pre.textContent = ""; lines = 0; boot = state.boot; return; }
  const low = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 40;
  if (state.console.length) pre.append(state.console.map(line => line + "\n").join(""));
  lines += state.console.length;
  if (low) pre.scrollTop = pre.scrollHeight;
  if (state.version !== version) {
    version = state.version;
    const closed = new Set([...main.querySelectorAll("details")].map((each, at) => [at, each.open]).map(String));
    main.innerHTML = state.main;
    [...main.querySelectorAll("details")].forEach((each, at) => {
      if (closed.has(`${at},true`)) each.open = true; else if (closed.has(`${at},false`)) each.open = false;
    });
    document.title = state.title;
  }
  if (state.said !== said.textContent) said.textContent = state.said;
  over = state.over;
}

async function look() {
  try {
    const answer = await fetch(`state?boot=${boot}&lines=${lines}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    show(await answer.json());
  } catch {
    said.textContent = "azready has ended; this is what was seen last";
    over = true;
  }
  if (!over) setTimeout(look, document.hidden ? 2000 : 500);
}
look();
