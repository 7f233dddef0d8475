import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type KnownSchema, printValidators } from '@fleetgate/contracts/validators'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { version } from '../src/version.js'

/** Where the bundle is unless told otherwise: `services/agent/dist/fleetgate-agent.mjs`. */
export const bundleFile = fileURLToPath(new URL('../fleetgate-agent.mjs', import.meta.url))

const sourceFolder = fileURLToPath(new URL('../src', import.meta.url))
const mainFile = join(sourceFolder, 'main.js')
const contractsFolder = dirname(createRequire(import.meta.url).resolve('@fleetgate/contracts/fleet'))

/** The interpreter's line, and `require` for those packages inside that are CommonJS and load Node's own modules. */
const banner = [
  '#!/usr/bin/env node',
  "import { createRequire as createFleetgateRequire } from 'node:module'",
  'const require = createFleetgateRequire(import.meta.url)'
].join('\n')

/** Names are kept, so that a stack trace from a machine can be read. */
const options = {
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  banner: { js: banner },
  define: { bundledVersion: JSON.stringify(version) },
  logLevel: 'warning'
} satisfies BuildOptions

/**
 * Puts the compiled agent and everything that it uses into one file that needs nothing but Node. The validators of its
 * schemas are made here, so that ajv stays at home: with it the agent weighs 5 MB more. A test has an entry of its own.
 */
export async function buildBundle(outfile = bundleFile, entry = mainFile): Promise<string> {
  const schemas = await collectSchemas(entry)
  await build({ ...options, entryPoints: [entry], outfile, plugins: [inPlaceOfAjv(readyMade(schemas))] })
  chmodSync(outfile, 0o755)
  return outfile
}

const recording = [
  "export { Type } from '@sinclair/typebox'",
  "export { oneOf } from './oneOf.js'",
  "export { recordOf } from './recordOf.js'",
  'export const compile = (schema, options) => {',
  '  globalThis.fleetgateSchemas.push({ schema, options })',
  '  return (value) => value',
  '}'
].join('\n')

/** Every schema that a module of the agent compiles when it is loaded. None of them does more than that by being loaded. */
async function collectSchemas(entry: string): Promise<KnownSchema[]> {
  const folder = mkdtempSync(join(tmpdir(), 'fleetgate-bundle-'))
  const known: KnownSchema[] = []
  try {
    const contents = (await listModules(entry)).map((file) => `import ${JSON.stringify(file)}`).join('\n')
    const outfile = join(folder, 'modules.mjs')
    const stdin = { contents, resolveDir: sourceFolder }
    await build({ ...options, stdin, outfile, plugins: [inPlaceOfAjv({ 'schema.js': recording })] })
    Object.assign(globalThis, { fleetgateSchemas: known })
    await import(pathToFileURL(outfile).href)
    return known
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The agent's own modules, all that its entry leads to. */
async function listModules(entry: string): Promise<string[]> {
  const { metafile } = await build({ ...options, entryPoints: [entry], metafile: true, write: false, outfile: 'x.mjs' })
  const files = Object.keys(metafile.inputs).map((file) => resolve(file))
  return files.filter((file) => file.startsWith(sourceFolder + sep) && file !== entry)
}

function readyMade(schemas: readonly KnownSchema[]): Record<string, string> {
  const { strict, coercing } = printValidators(schemas)
  const schema = [
    "import * as strict from './readyMade/strict.js'",
    "import * as coercing from './readyMade/coercing.js'",
    "import { createCompile } from './aheadOfTime.js'",
    "export { Type } from '@sinclair/typebox'",
    "export { oneOf } from './oneOf.js'",
    "export { recordOf } from './recordOf.js'",
    'export const compile = createCompile({ ...strict, ...coercing })'
  ].join('\n')
  return { 'schema.js': schema, 'readyMade/strict.js': strict, 'readyMade/coercing.js': coercing }
}

/** These modules of the contracts, by their paths there, in place of what is on disk. */
function inPlaceOfAjv(modules: Record<string, string>): Plugin {
  const byPath = new Map(Object.entries(modules).map(([name, contents]) => [join(contractsFolder, name), contents]))
  return {
    name: 'in place of ajv',
    setup(setUp) {
      setUp.onResolve({ filter: /^\./ }, ({ path, resolveDir }) => {
        const file = join(resolveDir, path)
        return byPath.has(file) ? { path: file } : undefined
      })
      setUp.onLoad({ filter: /./ }, ({ path }) => {
        const contents = byPath.get(path)
        return contents === undefined ? undefined : { contents, loader: 'js', resolveDir: contractsFolder }
      })
    }
  }
}
