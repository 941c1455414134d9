// A Worker that asks nobody: what the process and an isolate take by themselves.

export default { fetch: () => new Response("true") };
