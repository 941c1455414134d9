// A registry of npm's on a free loopback port: packuments and tarballs of the packages that it is given.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

/**
 * Serves tarballs; resolves to `{ url, requests, corrupt, stalled, close }`. `requests` holds the paths that were asked for; the
 * tarballs of packages whose names are in `corrupt` are sent with a byte changed, those in `stalled` not at all.
 */
export async function startRegistry(tarballs) {
  const packages = new Map(tarballs.map((path) => packageOf(path)).map((found) => [found.manifest.name, found]));
  const requests = [];
  const corrupt = new Set();
  const stalled = new Set();
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://registry").pathname).slice(1);
    requests.push(path);
    const [name, file] = path.split("/-/");
    const found = packages.get(name);
    if (found === undefined) {
      response.writeHead(404, { "content-type": "application/json" }).end('{"error":"not found"}');
    } else if (file === undefined) {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(packument(found, url)));
    } else if (!stalled.has(name)) {
      const bytes = Buffer.from(found.bytes);
      if (corrupt.has(name)) bytes[bytes.length >> 1] ^= 1;
      response.writeHead(200, { "content-type": "application/octet-stream" }).end(bytes);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url, requests, corrupt, stalled, close };
}

function packageOf(path) {
  const manifest = execFileSync("tar", ["-xzOf", path, "package/package.json"], { encoding: "utf8" });
  return { manifest: JSON.parse(manifest), bytes: readFileSync(path) };
}

function packument({ manifest, bytes }, url) {
  const { name, version } = manifest;
  const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  const tarball = `${url}/${name}/-/${name.split("/").pop()}-${version}.tgz`;
  return {
    name,
    "dist-tags": { latest: version },
    versions: { [version]: { ...manifest, dist: { tarball, integrity } } },
  };
}
