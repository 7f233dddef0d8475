import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import type { Integration, IntegrationTools, Reading } from '../src/integrations/manifest.js'
import { loadIntegrations } from '../src/integrations/registry.js'

const service = fileURLToPath(new URL('../../', import.meta.url))
const compiler = join(service, '../../node_modules/.bin/tsc')

/** The files of the example, as they stand in the README, by their paths below `src/integrations`. */
function example(): [path: string, text: string][] {
  const readme = readFileSync(join(service, 'README.md'), 'utf8')
  const [, block = ''] = /```ts\n(\/\/ src\/integrations\/tally[\s\S]*?)```/.exec(readme) ?? []
  return block.split(/^\/\/ src\/integrations\//m).flatMap((part) => {
    const [path = '', ...lines] = part.split('\n')
    return path ? [[path, lines.join('\n')] as [string, string]] : []
  })
}

/** A folder of integrations, compiled against the product as one of its own is. */
function compile(files: [string, string][]): URL {
  const folder = mkdtempSync(join(tmpdir(), 'integrations-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const [path, text] of [['package.json', '{"type":"module"}'] as [string, string], ...files]) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  const compilerOptions = {
    ...{ composite: false, incremental: false, declaration: false, declarationMap: false, sourceMap: false, types: [] },
    ...{ rootDir: '.', outDir: '.', rootDirs: ['.', join(service, 'dist/src/integrations')] }
  }
  const config = {
    extends: join(service, '../../tsconfig.base.json'),
    compilerOptions,
    files: files.map(([path]) => path)
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  execFileSync(compiler, ['-p', folder], { stdio: ['ignore', 'inherit', 'inherit'] })
  return pathToFileURL(`${folder}/`)
}

t.test('the example of the README is a whole integration in a folder of its own', async (t) => {
  const files = example()
  t.same(
    files.map(([path]) => path),
    ['tally/manifest.ts', 'tally/handlers.ts']
  )
  const reported: [string, Reading[]][] = []
  const tools: Partial<IntegrationTools> = {
    async *listDevices() {
      yield { id: '1', identifier: 'a_b', name: 'a.b', additionalData: {} }
    },
    report: async (tenantId, readings) => void reported.push([tenantId, readings])
  }
  const asked: string[] = []
  const { all, find } = await loadIntegrations((id) => {
    asked.push(id)
    return tools as IntegrationTools
  }, compile(files))
  t.same([all.map(({ manifest }) => manifest.id), asked], [['tally'], ['tally']])
  const { handlers, manifest } = find('tally') as Integration
  t.match(manifest, { name: 'Tally', addDevice: 'add_device', entities: { length: 3 } })
  t.match(await handlers.addDevice?.('a.b', {}, { tenantId: 't1' }), {
    identifier: 'a_b',
    entities: [{ identifier: 'length', valueType: 'LONG' }]
  })
  t.same(await handlers.call?.({ tenantId: 't1', service: 'count_all', params: {} }), {})
  t.same(reported, [['t1', [{ device: 'a_b', entity: 'length', value: 3 }]]])
})

t.test('a folder whose manifest is not its own, or whose handlers make nothing, stops the start', async (t) => {
  const [[, manifest] = ['', '']] = example()
  const load = (files: [string, string][]) => loadIntegrations(() => ({}) as IntegrationTools, compile(files))
  await t.rejects(load([['other/manifest.ts', manifest]]), /integration other: its manifest says "tally"/)
  const empty: [string, string] = ['tally/handlers.ts', 'export const nothing = 1']
  await t.rejects(load([['tally/manifest.ts', manifest], empty]), /exports no createHandlers/)
})
