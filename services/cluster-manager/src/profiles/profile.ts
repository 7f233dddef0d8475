import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { compile, oneOf, type Static, Type } from '@fleetgate/kit'
import { programOf } from '../hosts/runText.js'
import { createDownload, type Download, Release, type ReleaseWish } from './download.js'

export const categories = ['compact', 'ha'] as const
export type Category = (typeof categories)[number]
export const roles = ['master', 'shared', 'pureslave'] as const
export type Role = (typeof roles)[number]
/** What a cluster may be asked to have; `ClusterOptions` says what each is. */
export const optionNames = ['apiAddress', 'monitoring', 'snapshots'] as const
export type OptionName = (typeof optionNames)[number]

const Components = Type.Object({
  master: Type.Array(Type.String()),
  shared: Type.Array(Type.String()),
  pureslave: Type.Array(Type.String())
})

/** `profile.json` of a profile's folder. */
const Described = Type.Object({
  title: Type.String(),
  /** Files of the control machine that are staged on the hosts, some only of clusters with an `option`; `source` names a setting of this service. */
  files: Type.Array(
    Type.Object({
      name: Type.String(),
      source: Type.String(),
      optional: Type.Optional(Type.Boolean()),
      option: Type.Optional(oneOf(optionNames))
    })
  ),
  /** Those that its clusters may have; a request for another is refused. */
  options: Type.Optional(Type.Array(oneOf(optionNames))),
  /** What `fetch` brings to a host where there is no file of this source. */
  download: Type.Optional(Type.Object({ source: Type.String(), release: Release })),
  /** `control`: the staged programs are of the control machine's own kind; empty: any. */
  arch: oneOf(['control', '']),
  ports: Type.Array(Type.Integer()),
  diskMegabytes: Type.Integer(),
  memoryMegabytes: Type.Integer(),
  uniqueHostnames: Type.Boolean(),
  /** Who is installed together; `leader` is the first master. */
  waves: Type.Array(Type.Array(oneOf(['leader', ...roles]))),
  /** Where `drain` runs: on the host that goes, or on the leader, which is told the names of those that go and then forgets each (`forget`), or uses it again where it stays (`uncordon`). */
  drainOn: oneOf(['host', 'leader']),
  /** How many hosts join, or restart, at the same time: what they ask of those that are there is bounded. */
  joinsAtOnce: Type.Integer({ minimum: 1 }),
  /** Whether `registries` and `install` restart servers, so that masters at work take turns. */
  restartMasters: Type.Boolean(),
  /** Whether `forget`, run on a master that stays, takes masters that went out of the group that they decide in. */
  removesMasters: Type.Boolean(),
  /** Names of secrets that are made with a cluster and known to its hosts. */
  secrets: Type.Array(Type.String()),
  components: Type.Object({ compact: Components, ha: Components }),
  /** What a cluster with the option has once, on the host that keeps watch; its masters say how it is. */
  monitoringComponents: Type.Optional(Type.Array(Type.String())),
  /** A script that one master runs when hosts have come, changed or gone: what is the cluster's and no host's. */
  addons: Type.Optional(Type.String()),
  access: Type.Object({
    username: Type.Optional(Type.String()),
    /** The secret that opens it. */
    password: Type.Optional(Type.String()),
    /** A script that, run on a master, says the file with which programs log in: lines `access <line of the file>`. */
    kubeconfig: Type.Optional(Type.String()),
    /** The secret without which nobody can read snapshots that are kept elsewhere. */
    snapshotToken: Type.Optional(Type.String()),
    endpoints: Type.Array(Type.Object({ scheme: Type.String(), port: Type.Integer(), roles: Type.Array(oneOf(roles)) }))
  }),
  /** Seconds. */
  timeouts: Type.Object({
    install: Type.Integer(),
    verify: Type.Integer(),
    drain: Type.Integer(),
    remove: Type.Integer()
  })
})

/** A POSIX script by the name of its file. */
export interface Script {
  name: string
  content: string
}

/** A file of the control machine, by its content. */
export interface StagedFile {
  name: string
  path: string
  sha256: string
  bytes: number
  option?: OptionName | undefined
}

export interface Profile extends Static<typeof Described> {
  name: string
  /** What does its runs on a host, with every script of it and those common to all profiles. */
  program: string
  /** The files to stage; throws a plain Error that names a setting where one cannot be had. Read and hashed again where one was replaced. */
  staged(): Promise<StagedFile[]>
  /** What hosts are to fetch themselves; nothing where that is staged, or the profile knows of none. Says what is wrong and never rejects. */
  fetched(): Promise<Download | undefined>
}

export interface Profiles {
  names: string[]
  get(name: string): Profile | undefined
}

const check = compile(Described)

type Sources = Record<string, () => string | undefined>

/**
 * Reads every profile folder of `dir`. By the word that `profile.json` has for a file, `sources` gives its path and `wishes` what is to be
 * fetched in its place. Throws for wishes that cannot be met.
 */
export function loadProfiles(dir: string, sources: Sources, wishes: Record<string, ReleaseWish> = {}): Profiles {
  const common = scriptsOf(join(dir, 'common'))
  const names = readdirSync(dir).filter((name) => existsSync(join(dir, name, 'profile.json')))
  const loaded = new Map(names.map((name) => [name, load(join(dir, name), name, { common, sources, wishes })]))
  return { names, get: (name) => loaded.get(name) }
}

function load(
  dir: string,
  name: string,
  { common, sources, wishes }: { common: Script[]; sources: Sources; wishes: Record<string, ReleaseWish> }
): Profile {
  const described = check(JSON.parse(readFileSync(join(dir, 'profile.json'), 'utf8')))
  const { source = '', release } = described.download ?? {}
  const download = release && createDownload(release, wishes[source])
  let known: { stamp: string; files: Promise<StagedFile[]> } | undefined
  return {
    ...described,
    name,
    program: programOf([...common, ...scriptsOf(dir)]),
    fetched: async () => (sources[source]?.() === undefined ? download?.() : undefined),
    staged() {
      const stamp = described.files.map(({ source }) => stampOf(sources[source]?.())).join(' ')
      if (known?.stamp === stamp) return known.files
      const fresh = { stamp, files: stage(described, sources) }
      known = fresh
      fresh.files.catch(() => {
        if (known === fresh) known = undefined
      })
      return fresh.files
    }
  }
}

/** Tells a file from the one that stood in its place before. */
function stampOf(path: string | undefined): string {
  const { ino, size, mtimeMs } = (path && statSync(path, { throwIfNoEntry: false })) || { ino: 0, size: 0, mtimeMs: 0 }
  return [path, ino, size, mtimeMs].join(':')
}

function scriptsOf(dir: string): Script[] {
  const names = readdirSync(dir).filter((name) => name.endsWith('.sh'))
  return names.map((name) => ({ name, content: readFileSync(join(dir, name), 'utf8') }))
}

/** What would be `fetched` without a path must not be missing with one. */
async function stage({ files, download }: Static<typeof Described>, sources: Sources): Promise<StagedFile[]> {
  const fetched = download?.source
  const found: StagedFile[] = []
  for (const { name, source, optional, option } of files) {
    const path = sources[source]?.()
    if (path && existsSync(path))
      found.push({ name, path, bytes: statSync(path).size, sha256: await hashOf(path), option })
    else if (!optional || (path && source === fetched))
      throw new Error(`the file ${name} (${source}) is not on the control machine`)
  }
  return found
}

/** SHA-256, in hex. */
export async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}
