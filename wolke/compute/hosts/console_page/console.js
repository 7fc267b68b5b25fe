// Opens the screen that the link's token stands for. The class of <html> tells the state: connecting, connected or ended.
import RFB from "/console/novnc/core/rfb.js";

const part = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token") ?? "";

function address(path) {
  const url = new URL(path, location.href);
  url.search = new URLSearchParams({ token });
  return url;
}

function tell(name, text, what = "") {
  document.documentElement.className = name;
  part("state").textContent = text;
  part("what").textContent = what;
  part("message").hidden = !what;
  part("keys").disabled = name !== "connected";
}

// Which server the link opens and whether it has a screen now; or the reason why there is none.
async function about() {
  try {
    const reply = await fetch(address("about"), { cache: "no-store" });
    return await reply.json();
  } catch {
    return { error: "The cloud does not answer." };
  }
}

// Why a connection has ended. The cloud hears of it a moment after us.
async function reason() {
  for (let seconds = 0; seconds < 4; seconds++) {
    const { error } = await about();
    if (error) return error;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

async function open() {
  tell("connecting", "Connecting");
  const server = await about();
  if (server.name) {
    part("name").textContent = server.name;
    document.title = `${server.name} - console`;
  }
  if (server.error) {
    tell("ended", "Not connected", server.error);
    return;
  }
  const url = address("websockify");
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const screen = new RFB(part("screen"), url.href, { wsProtocols: ["binary"] });
  screen.scaleViewport = true;
  screen.background = "transparent";
  screen.addEventListener("connect", () => {
    tell("connected", "Connected");
    screen.focus();
  });
  screen.addEventListener("disconnect", async () => {
    tell("ended", "Not connected", (await reason()) ?? "The connection was lost. The server runs on.");
  });
  part("keys").onclick = () => {
    screen.sendCtrlAltDel();
    screen.focus();
  };
}

part("again").addEventListener("click", open);
open();
