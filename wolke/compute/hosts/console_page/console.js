// Opens the screen that the link's token stands for. The class of <html> tells the state: connected or ended.
import RFB from "/console/novnc/core/rfb.js";

const state = document.getElementById("state");
const keys = document.getElementById("keys");
const token = new URLSearchParams(location.search).get("token") ?? "";
const url = new URL("/console/websockify", location.href);
url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
url.search = new URLSearchParams({ token });

function tell(text, name) {
  state.textContent = text;
  document.documentElement.className = name;
  keys.disabled = name !== "connected";
}

const rfb = new RFB(document.getElementById("screen"), url.href, { wsProtocols: ["binary"] });
rfb.scaleViewport = true;
rfb.addEventListener("connect", () => { tell("Connected", "connected"); rfb.focus(); });
rfb.addEventListener("desktopname", (event) => { document.title = event.detail.name; });
rfb.addEventListener("disconnect", (event) => {
  tell(event.detail.clean ? "The connection has ended." : "No connection: the link has expired, or the server does not run.", "ended");
});
keys.addEventListener("click", () => { rfb.sendCtrlAltDel(); rfb.focus(); });
