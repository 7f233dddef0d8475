import {
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync
} from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { workspaceRoot } from '@fleetgate/local'

/** The processes of which there is an image, and where their packages stand. */
export const imageTargets: Record<string, string> = {
  gateway: 'gateway',
  auth: 'services/auth',
  devices: 'services/devices',
  scheduler: 'services/scheduler',
  'broker-proxy': 'services/broker-proxy',
  'cluster-manager': 'services/cluster-manager',
  agent: 'services/agent'
}

/** Needed by nobody at run time: types, sources, maps and texts. Licenses stay. */
const needless = /(\.map|\.tsbuildinfo|\.[cm]?ts|\.md|\.markdown|\.flow|\.coffee)$/i
const needlessFolders = new Set([
  'test',
  'tests',
  '__tests__',
  'docs',
  'doc',
  'example',
  'examples',
  'benchmark',
  'benchmarks',
  '.github'
])
/** Of our own packages: what is compiled from, or only helps to. */
const ofTheBuild = new Set(['src', 'test', 'tools', 'dist', 'node_modules', '.tap'])
/** The same within a folder of what browsers load, which is compiled apart. */
const ofCompiling = new Set(['src', 'tsconfig.json'])
/** Other editions of the page that the gateway serves. */
const otherEditions = /swagger-ui-dist\/(swagger-ui-es-bundle|swagger-ui\.js$|oauth2-redirect|index)/

interface Manifest {
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  exports?: unknown
}

/**
 * Copies what one process needs to run, and nothing else, into an empty folder: its compiled sources, those of the
 * workspace packages that it depends on, and their production packages, in the places and with the links that they
 * have in the checkout. Answers the bytes of its own code and of the packages.
 */
export function copyImageFiles(target: string, to: string): { own: number; packages: number } {
  const home = imageTargets[target]
  if (!home) throw new Error(`no image ${target}: there are ${Object.keys(imageTargets).join(', ')}`)
  const root = realpathSync(workspaceRoot)
  rmSync(to, { recursive: true, force: true })
  mkdirSync(to, { recursive: true })
  const waiting = [join(root, home)]
  const done = new Set<string>()
  for (let folder = waiting.pop(); folder; folder = waiting.pop()) {
    if (done.has(folder)) continue
    done.add(folder)
    copyPackage(root, folder, to)
    waiting.push(...linkDependencies(root, folder, to))
  }
  return { own: ownBytes(to), packages: bytesOf(join(to, 'node_modules')) }
}

function isOurs(root: string, folder: string): boolean {
  return !relative(root, folder).startsWith('node_modules')
}

function copyPackage(root: string, folder: string, to: string): void {
  const place = join(to, relative(root, folder))
  mkdirSync(place, { recursive: true })
  if (!isOurs(root, folder)) {
    const forBundlers = bundlersFolder(folder)
    cpSync(folder, place, { recursive: true, filter: (from) => from !== forBundlers && isNeeded(folder, from) })
    return
  }
  copyFileSync(join(folder, 'package.json'), join(place, 'package.json'))
  cpSync(join(folder, 'dist/src'), join(place, 'dist/src'), { recursive: true, filter: (from) => !needless.test(from) })
  // Folders of data that some of our packages read beside their code.
  for (const { name } of readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
    if (ofTheBuild.has(name)) continue
    const isCompiled = existsSync(join(folder, name, 'tsconfig.json'))
    const filter = (from: string) => !(isCompiled && (needless.test(from) || ofCompiling.has(basename(from))))
    cpSync(join(folder, name), join(place, name), { recursive: true, filter })
  }
}

/** Amazon's packages bring their code a second time for bundlers; Node reads it only where `exports` leads to it. */
function bundlersFolder(folder: string): string | undefined {
  return 'exports' in readManifest(folder) ? undefined : join(folder, 'dist-es')
}

function isNeeded(folder: string, from: string): boolean {
  const path = relative(folder, from)
  if (needless.test(path) || otherEditions.test(from)) return false
  const [first = ''] = path.split('/')
  return first !== 'node_modules' && !(needlessFolders.has(first) && lstatSync(join(folder, first)).isDirectory())
}

/** The links by which node finds a package's dependencies; answers where these really are. */
function linkDependencies(root: string, folder: string, to: string): string[] {
  const manifest = readManifest(folder)
  const names = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })
  const shelf = isOurs(root, folder) ? join(folder, 'node_modules') : shelfOf(folder)
  return names.flatMap((name) => {
    const link = join(shelf, name)
    if (!existsSync(link)) return []
    const copy = join(to, relative(root, link))
    mkdirSync(dirname(copy), { recursive: true })
    if (lstatSync(link).isSymbolicLink() && !existsSync(copy)) symlinkSync(readlinkSync(link), copy)
    return [realpathSync(link)]
  })
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
}

/** `…/node_modules` above a package, whose name may have a scope. */
function shelfOf(folder: string): string {
  const parent = dirname(folder)
  return parent.endsWith('/node_modules') ? parent : dirname(parent)
}

function ownBytes(to: string): number {
  return ['gateway', 'services', 'shared'].reduce((sum, name) => sum + bytesOf(join(to, name)), 0)
}

function bytesOf(path: string): number {
  if (!existsSync(path)) return 0
  const entry = lstatSync(path)
  if (entry.isSymbolicLink()) return 0
  if (!entry.isDirectory()) return entry.size
  return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0)
}

/** `image-files TARGET DIR`, or `all DIR` for a folder each. */
export function main([target = '', dir = '']: string[]): void {
  if (!target || !dir) throw new Error(`usage: scripts/image-files all|${Object.keys(imageTargets).join('|')} DIR`)
  const all = target === 'all'
  for (const name of all ? Object.keys(imageTargets) : [target]) {
    const { own, packages } = copyImageFiles(name, resolve(all ? join(dir, name) : dir))
    const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1).padStart(6)
    console.log(`${name.padEnd(16)} own ${megabytes(own)} MB, packages ${megabytes(packages)} MB`)
  }
}
