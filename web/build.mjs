// Bundles the page into api/web/dist, where Go embeds it. The same sources give the same bytes, so CI
// can tell whether the committed output is theirs.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = process.argv[2] ?? here("../api/web/dist");

const built = await esbuild.build({
  entryPoints: [here("src/main.tsx"), here("src/style.css")],
  absWorkingDir: here("."),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  charset: "utf8",
  outdir: out,
  metafile: true,
  write: false,
});

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

function put(name, text) {
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 12);
  const hashed = name.replace(/\.(\w+)$/, `-${hash}.$1`);
  writeFileSync(`${out}/${hashed}`, text);
  return `/assets/${hashed}`;
}

const bundle = (end) => Buffer.from(built.outputFiles.find((f) => f.path.endsWith(end)).contents);
const names = {
  SCRIPT: put("page.js", bundle(".js")),
  STYLE: put("page.css", bundle(".css")),
  ICON: put("icon.svg", readFileSync(here("src/icon.svg"))),
};
const page = readFileSync(here("src/index.html"), "utf8").replace(
  /\{(SCRIPT|STYLE|ICON)\}/g,
  (_, name) => names[name],
);
writeFileSync(`${out}/index.html`, page);

// The licence of each package of which the bundle holds code.
const packages = new Set();
for (const input of Object.keys(built.metafile.inputs)) {
  const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  if (found) packages.add(found[1]);
}
const licences = [...packages].sort().map((name) => {
  const { version } = JSON.parse(readFileSync(here(`node_modules/${name}/package.json`), "utf8"));
  return `${name} ${version}\n\n${readFileSync(here(`node_modules/${name}/LICENSE`), "utf8").trim()}\n`;
});
writeFileSync(`${out}/licences.txt`, `The page holds code of these packages.\n\n${licences.join("\n")}`);
