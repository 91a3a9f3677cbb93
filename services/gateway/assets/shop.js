// Everything in the shop works without this file; it saves reloads and taps.
"use strict";

// An order's page: swap the status region for what the server sends (text/event-stream).
const region = document.getElementById("order-status");
if (region?.dataset.events && "EventSource" in window) {
  const announce = document.getElementById("order-announce");
  const source = new EventSource(region.dataset.events);

  source.addEventListener("order", (event) => {
    const before = region.querySelector("[data-state]")?.dataset.state;
    const held = region.contains(document.activeElement);
    region.innerHTML = event.data;
    const headline = region.querySelector("[data-announce]");
    if (held) headline?.focus();
    if (region.querySelector("[data-state]")?.dataset.state !== before) {
      announce.textContent = headline?.textContent ?? "";
    }
  });
  source.addEventListener("end", () => source.close());
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

// A refused form: the summary of what is wrong takes the focus, as a new page would.
document.querySelector(".summary")?.focus();

// Quantity fields: buttons that a thumb can hit.
for (const box of document.querySelectorAll("[data-stepper]")) {
  const field = box.querySelector("input");
  const button = (sign, words, by) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = sign;
    made.setAttribute("aria-label", `${words}: ${box.dataset.stepper}`);
    made.addEventListener("click", () => {
      by > 0 ? field.stepUp() : field.stepDown();
      field.dispatchEvent(new Event("change", { bubbles: true }));
    });
    return made;
  };
  box.prepend(button("\u2212", "One less", -1));
  box.append(button("+", "One more", 1));
  box.classList.add("stepper-on");
}

// Placing an order: the second press of an impatient thumb is not sent. The key would catch it.
for (const form of document.querySelectorAll("form[data-once]")) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  addEventListener("pageshow", () => { sent = false; });
}
