// In a module of its own: admin.js has listeners, and must not run a second time under another address.

/** POST JSON to the admin's interface; throws the reason of a refusal. */
export async function send(url, body) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": document.querySelector('meta[name="csrf-token"]').content },
    body: JSON.stringify(body),
  });
  const data = await answer.json();
  if (!answer.ok) throw new Error(data.error.reason);
  return data;
}
