// Bundles the tests and runs them. PAWL_DEV names the program of the dev stack; PAWL_CHROMIUM the browser,
// which is /usr/bin/chromium by default; PAWL_SOURCE the repository, which is around web by default.
// Arguments are names of tests' files, all by default. After the word shots they are names of pictures to
// take, all by default. The word unit runs only the tests of the page's logic, which need neither.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const unit = process.argv[2] === "unit";
if (!unit && !process.env.PAWL_DEV) {
  console.error("PAWL_DEV must name the dev stack's program: make build makes bin/pawl-dev.");
  process.exit(2);
}
const [word, ...pictures] = process.argv.slice(2);
const shots = word === "shots";
const chosen = process.argv.slice(2).filter((a) => !a.startsWith("--"));
const options = process.argv.slice(2).filter((a) => a.startsWith("--")); // such as --test-name-pattern=keys
const tests = shots
  ? ["shots.ts"]
  : readdirSync(here("."))
      .filter((f) => f.endsWith(".test.ts"))
      .filter((f) =>
        unit ? f.endsWith(".unit.test.ts") : !chosen.length || chosen.some((c) => f.startsWith(c)),
      );
const out = here(`../node_modules/.page-${unit ? "unit" : shots ? "shots" : "test"}`);
rmSync(out, { recursive: true, force: true });
await esbuild.build({
  entryPoints: tests.map(here),
  absWorkingDir: here(".."),
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  packages: "external",
  sourcemap: "inline",
  outdir: out,
  outExtension: { ".js": ".mjs" },
  logLevel: "warning",
});
const files = readdirSync(out).map((f) => `${out}/${f}`);
const tested = ["--test", "--test-concurrency=1", "--test-reporter=spec", ...options, ...files];
const ran = spawnSync(
  process.execPath,
  ["--enable-source-maps", ...(shots ? [...files, ...pictures] : tested)],
  { stdio: "inherit", env: { PAWL_SOURCE: here("../.."), ...process.env, PAWL_WEB_ROOT: here("..") } },
);
process.exit(ran.status ?? 1);
