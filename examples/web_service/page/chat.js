// The page keeps the conversation, and sends all of it with each question.

const [said, form, question, send] = ["said", "ask", "question", "send"].map((id) => document.getElementById(id));
const messages = [];
const NOTES = { length: "The answer reached its limit of tokens.", content_filter: "Content safety took the answer back." };
let asking = null; // what stops the answer that is under way

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (asking) asking.abort();
  else if (question.value.trim()) ask(question.value.trim());
});

question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!asking) form.requestSubmit();
});

// Else a browser may keep the page that was left, and its connection with it, for the case that its reader comes back.
addEventListener("pagehide", () => asking?.abort());

async function ask(text) {
  messages.push({ role: "user", content: text });
  show("user", text);
  const line = show("assistant open", "");
  question.value = "";
  send.textContent = "Stop";
  asking = new AbortController();
  try {
    for await (const chunk of chunks(messages, asking.signal)) {
      const choice = chunk.choices.find((choice) => choice.index === 0);
      line.append(choice?.delta?.content ?? "");
      if (choice?.finish_reason === "content_filter") line.textContent = ""; // it may judge what was shown already
      if (choice?.finish_reason in NOTES) show("note", NOTES[choice.finish_reason]);
      said.scrollTop = said.scrollHeight;
    }
  } catch (error) {
    if (error.name === "AbortError") show("note", "Stopped.");
    else show("note error", `${error.name}: ${error.message}${error.retryable ? "; try again" : ""}`);
  }
  line.classList.remove("open");
  send.textContent = "Ask";
  asking = null;
  if (line.textContent) {
    messages.push({ role: "assistant", content: line.textContent });
  } else { // as if it had not been asked
    messages.pop();
    line.remove();
    question.value ||= text;
  }
}

// The chunks of an answer. It is whole if it ends with [DONE]; else this throws.
async function* chunks(messages, signal) {
  const response = await fetch("chat", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages }),
    signal,
  });
  if (!response.ok) throw new Error(await response.text());
  for await (const { name, data } of events(response.body)) {
    if (data === "[DONE]") return;
    const value = JSON.parse(data);
    if (name === "error") throw Object.assign(new Error(value.error.message), value.error, { name: value.error.type });
    yield value;
  }
  throw new Error("the connection was cut");
}

// EventSource would ask with GET, and again after an error; so the events are read from the body of the answer.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const fields = block.split("\n").map((line) => line.split(/: (.*)/s));
        const field = (wanted) => fields.find(([name]) => name === wanted)?.[1];
        if (field("data") !== undefined) yield { name: field("event"), data: field("data") }; // else it is a comment
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // of what was stopped, there is nothing left to cancel
  }
}

function show(kind, text) {
  const line = document.createElement("p");
  line.className = kind;
  line.textContent = text;
  said.append(line);
  said.scrollTop = said.scrollHeight;
  return line;
}
