import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { rewriteDeb822, rewriteList, type SuiteChange } from './aptSources.js'

const run = promisify(execFile)
const limitMs = 180_000

/**
 * Downloads libc6 of another release into `dir` with apt itself, from the machine's own sources: no root, its
 * signatures checked, and nothing of the system's apt touched. Answers the path of the package.
 */
export async function downloadLibc(dir: string, change: SuiteChange): Promise<string> {
  const env = { ...process.env, APT_CONFIG: await writeConfig(dir, change), LC_ALL: 'C' }
  const aptGet = (...args: string[]) => run('apt-get', ['-q', ...args], { env, cwd: dir, timeout: limitMs })
  // One failing repository of several is no reason to give up; where the download fails too it is the better reason.
  const failure = await aptGet('-o', 'APT::Update::Error-Mode=any', 'update').then(
    () => undefined,
    (error: unknown) => error
  )
  await aptGet('download', 'libc6').catch((error) => {
    throw failure ?? error
  })
  const name = readdirSync(dir).find((file) => file.startsWith('libc6_') && file.endsWith('.deb'))
  if (!name) throw new Error('apt-get download left no package')
  return join(dir, name)
}

/**
 * The machine's configuration (proxies, credentials, certificates) without its hooks, which may change the system, and
 * with every folder that apt writes to inside `dir`.
 */
async function writeConfig(dir: string, change: SuiteChange): Promise<string> {
  const { stdout } = await run('apt-config', ['dump'], { timeout: limitMs })
  const own = stdout.split('\n').filter((line) => /^[^"]+"[^"]*";$/.test(line) && !/Invoke|Pkgs/.test(line))
  for (const folder of ['state/lists/partial', 'cache/archives/partial', 'log']) {
    mkdirSync(join(dir, folder), { recursive: true })
  }
  writeFileSync(join(dir, 'status'), '')
  const set: Record<string, string> = {
    'Dir::State': join(dir, 'state'),
    'Dir::State::lists': join(dir, 'state/lists'),
    'Dir::State::status': join(dir, 'status'),
    'Dir::Cache': join(dir, 'cache'),
    'Dir::Cache::archives': join(dir, 'cache/archives'),
    'Dir::Log': join(dir, 'log'),
    'Dir::Etc::SourceList': writeSources(dir, change),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::Etc::Parts': '/dev/null',
    'Dir::Etc::Main': '/dev/null',
    'Dir::Etc::Preferences': '/dev/null',
    'Dir::Etc::PreferencesParts': '/dev/null',
    'APT::Default-Release': '',
    'Acquire::Languages': 'none',
    // As root apt would turn into a user that may not enter our folder.
    ...(process.getuid?.() === 0 && { 'APT::Sandbox::User': 'root' })
  }
  const file = join(dir, 'apt.conf')
  const lines = [...own, ...Object.entries(set).map(([key, value]) => `${key} "${value}";`)]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}

function writeSources(dir: string, change: SuiteChange): string {
  const parts = '/etc/apt/sources.list.d'
  const names = existsSync(parts) ? readdirSync(parts).map((name) => join(parts, name)) : []
  const files = ['/etc/apt/sources.list', ...names].filter((file) => existsSync(file))
  const collect = (ending: string, rewrite: (text: string, change: SuiteChange) => string) =>
    files
      .filter((file) => file.endsWith(ending))
      .map((file) => rewrite(readFileSync(file, 'utf8'), change))
      .filter(Boolean)
      .join('\n')
  const lines = collect('.list', rewriteList)
  const stanzas = collect('.sources', rewriteDeb822)
  if (!lines && !stanzas) throw new Error(`no package source of ${change.from} in /etc/apt`)
  // apt tells the two forms apart by the ending; one of them is enough.
  const file = join(dir, stanzas ? 'fleetgate.sources' : 'fleetgate.list')
  writeFileSync(file, stanzas || lines)
  return file
}
