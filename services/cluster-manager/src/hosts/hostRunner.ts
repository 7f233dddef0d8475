import { randomBytes } from 'node:crypto'
import type { Secrets } from '@fleetgate/store'
import type { Host } from '../clusters/cluster.js'
import type { StagedFile } from '../profiles/profile.js'
import { connectHost, type HostConnection, type Target } from '../ssh/connect.js'
import { HostProblem, toProblem } from '../ssh/problem.js'
import { type HostShell, openShell } from '../ssh/shell.js'
import { unlessAborted } from '../unlessAborted.js'
import { packedFor, packings } from './packing.js'
import { quoted } from './runText.js'

export interface HostSecrets {
  privateKey?: string | undefined
  /** Only beside keys that were kept locked, before they were opened as they come. */
  passphrase?: string | undefined
  password?: string | undefined
  bastion?:
    | { privateKey?: string | undefined; passphrase?: string | undefined; password?: string | undefined }
    | undefined
}

export interface RunnerSettings {
  connectMs: number
  /** How long a host that was there may be away, with its work going on or a restart between, before it counts as lost. */
  lostMs: number
}

export interface Run {
  /** Names the run on the host: asked for again it is followed, not repeated. `direct` keeps no state. */
  id: string
  operationId: string
  clusterId: string
  epoch: number
  last: boolean
  /** What the shell there does, the same for all runs of an operation: that of the profile. */
  program: string
  scripts: readonly string[]
  /** What the scripts read, as `inputOf` makes it. */
  input: string
  timeoutMs: number
  /** Goes on trying where the host is away. */
  patient: boolean
  onLine: (line: string) => void
  signal: AbortSignal
}

export interface StageOptions {
  /** The packings that the host undoes, where it was asked a moment ago and does not have the file; otherwise it is asked. */
  unpacks?: readonly string[] | undefined
  signal: AbortSignal
}

/** The hosts of one operation or look: one connection each, kept. */
export interface HostRunner {
  /** Answers every line that the scripts said. Rejects with a HostProblem. */
  run(host: Host, run: Run): Promise<string[]>
  /** Brings a file of the control machine to the host, unless it is there. */
  stage(host: Host, file: StagedFile, options: StageOptions): Promise<void>
  /** Connects and logs in, and no more. Rejects with a HostProblem. */
  reach(host: Host): Promise<void>
  close(): void
}

export interface HostRunnerOptions {
  secrets: Secrets
  settings: RunnerSettings
  /** Told of the keys that hosts showed at their first connection. */
  onKeys?: (host: Host, keys: { hostKey: string; bastionKey?: string | undefined }) => void
}

const pauseMs = 300
/** Of a host that does not stop talking the last ones count. */
const mostLines = 1_000
const longestReason = 2_000
const stageMs = 600_000
/** As `lib.sh` has it. */
const filesFolder = '$FLEETGATE_ROOT/var/lib/fleetgate/files'

export function loginContext(hostId: string): string {
  return `host:${hostId}`
}

export function createHostRunner({ secrets, settings, onKeys }: HostRunnerOptions): HostRunner {
  const connections = new Map<string, Promise<HostConnection>>()
  const shells = new Map<string, HostShell>()

  /** A host that does not answer is not waited for where nobody wants it any more; what comes of it is closed with the rest. */
  function connection(host: Host, signal: AbortSignal): Promise<HostConnection> {
    return unlessAborted(connect(host), signal)
  }

  async function connect(host: Host): Promise<HostConnection> {
    const known = await connections.get(host.id)?.catch(() => undefined)
    if (known?.isOpen()) return known
    known?.close()
    const opening = connectHost(targetOf(host, secrets), settings.connectMs)
    connections.set(host.id, opening)
    const opened = await opening
    const isNew = host.hostKey === undefined || (host.bastion && host.bastionKey === undefined)
    if (isNew) onKeys?.(host, opened)
    return opened
  }

  async function shell(host: Host, { program, signal }: Run): Promise<HostShell> {
    const known = shells.get(host.id)
    if (known?.isOpen()) return known
    const opened = openShell(await connection(host, signal), asRoot(host, 'sh -s -- "$HOME" 2>&1'), program)
    shells.set(host.id, opened)
    return opened
  }

  async function once(host: Host, run: Run): Promise<string[]> {
    const lines: string[] = []
    const onLine = (line: string) => {
      lines.push(line)
      if (lines.length > 2 * mostLines) lines.splice(0, mostLines)
      run.onLine(line)
    }
    const open = await shell(host, run)
    const signal = AbortSignal.any([run.signal, AbortSignal.timeout(run.timeoutMs)])
    const code = await open.run(requestOf(run), { onLine, signal }).catch((error) => {
      if (signal.aborted && !run.signal.aborted) throw tooLong(run)
      throw error
    })
    // 79: the work broke off, by a restart of the host for one. It is begun anew.
    if (code === 79) throw new HostProblem('lost', `the work on ${host.ip} broke off`)
    if (code !== 0) throw new HostProblem('refused', reasonOf(lines, code))
    return lines
  }

  /** A connection that breaks, or a host that restarts, is waited for: the work is named, so nothing is done twice. */
  async function patiently<T>(
    host: Host,
    { patient, timeoutMs, signal }: Pick<Run, 'patient' | 'timeoutMs' | 'signal'>,
    work: () => Promise<T>
  ): Promise<T> {
    const started = Date.now()
    let lostSince: number | undefined
    for (;;) {
      try {
        return await work()
      } catch (error) {
        const problem = toProblem(error, host.ip)
        const isAway = problem.kind === 'lost' || problem.kind === 'unreachable'
        signal.throwIfAborted()
        lostSince ??= Date.now()
        const isLost = Date.now() - lostSince > settings.lostMs || Date.now() - started > timeoutMs
        if (!isAway || !patient || isLost) throw problem
        await new Promise((resolve) => setTimeout(resolve, pauseMs))
      }
    }
  }

  /** Asks whether a file is there, and which packings the host undoes. */
  async function askFor(host: Host, sha256: string, signal: AbortSignal): Promise<string[] | undefined> {
    const open = await connection(host, signal)
    const script = `[ ! -s ${fileOf(sha256)} ] || echo there; for p in ${packings.join(' ')}; do command -v $p >/dev/null && echo $p; done`
    const said = (await open.exec(asRoot(host, `sh -c ${quoted(script)}`), { signal })).output.split('\n')
    return said.includes('there') ? undefined : said
  }

  async function bring(host: Host, staged: StagedFile, { unpacks, signal }: StageOptions): Promise<void> {
    const able = unpacks ?? (await askFor(host, staged.sha256, signal))
    if (!able) return
    const open = await connection(host, signal)
    const { input, unpack, isChecked } = await packedFor(staged, able)
    const file = fileOf(staged.sha256)
    const part = `${file.slice(0, -1)}.${randomBytes(4).toString('hex')}"`
    const sum = `sum=$(openssl dgst -sha256 -r ${part} 2>/dev/null || sha256sum ${part}) && [ "\${sum%% *}" = ${staged.sha256} ]`
    const script =
      `umask 077; mkdir -p "${filesFolder}" && ${unpack} >${part} && ` +
      `${isChecked ? '' : `{ ${sum} || { echo "the file that came is not whole"; false; }; } && `}` +
      `mv ${part} ${file} || { rm -f ${part}; exit 1; }`
    const { code, output } = await open.exec(asRoot(host, `sh -c ${quoted(script)}`), { input, signal })
    if (code !== 0) throw new HostProblem('refused', reasonOf(output.split('\n'), code))
  }

  return {
    run: (host, run) => patiently(host, run, () => once(host, run)),

    stage(host, file, { unpacks, signal }) {
      let known = unpacks
      return patiently(host, { patient: true, timeoutMs: stageMs, signal }, () => {
        const options = { unpacks: known, signal }
        // What a broken connection left is looked for before it is sent again.
        known = undefined
        return bring(host, file, options)
      })
    },

    async reach(host) {
      await connect(host)
    },

    close() {
      for (const opening of connections.values()) void opening.then((open) => open.close()).catch(() => undefined)
      connections.clear()
    }
  }
}

/** One line of ids, numbers and names of our own scripts, with how many lines of values follow, as `run.sh` takes it. */
function requestOf({ id, operationId, clusterId, epoch, last, scripts, input }: Run): string {
  const lines = input.split('\n').length - 1
  return `${[lines, id, operationId, clusterId, epoch, last ? 1 : 0, ...scripts].join(' ')}\n${input}`
}

/** Starts a program of our own as root; who logs in as somebody else needs sudo without a password. Nothing that a person wrote is on the line. */
function asRoot({ user }: Host, program: string): string {
  if (user === 'root') return `exec ${program}`
  return (
    `[ "$(id -u)" != 0 ] || exec ${program}; ` +
    "command -v sudo >/dev/null || { echo 'problem sudo is missing, and the user is not root' >&2; exit 77; }; " +
    "sudo -n true 2>/dev/null || { echo 'problem sudo asks for a password: allow it without (NOPASSWD), or use root' >&2; exit 77; }; " +
    `exec sudo -n ${program}`
  )
}

/** A file that is there is whole: it gets its name when all of it has come. */
function fileOf(sha256: string): string {
  return `"${filesFolder}/${sha256}"`
}

function reasonOf(lines: readonly string[], code: number): string {
  const problems = lines.filter((line) => line.startsWith('problem ')).map((line) => line.slice(8))
  if (problems.length > 0) return problems.join('; ').slice(0, longestReason)
  const said = lines
    .filter((line) => line.trim() !== '' && !/^(progress|fact|figure|component|access) /.test(line))
    .slice(-3)
  return said.length > 0 ? said.join('; ').slice(0, 500) : `the script ended with ${code}`
}

function tooLong({ timeoutMs }: Run): HostProblem {
  return new HostProblem('refused', `did not finish within ${Math.round(timeoutMs / 1000)} s`)
}

function targetOf(host: Host, secrets: Secrets): Target {
  const { bastion, ...login } = JSON.parse(secrets.open(host.sealedLogin, loginContext(host.id))) as HostSecrets
  const target: Target = { address: host.ip, port: host.port, user: host.user, hostKey: host.hostKey, ...login }
  if (host.bastion) {
    const { ip, port, user } = host.bastion
    target.bastion = { address: ip, port, user, hostKey: host.bastionKey, ...bastion }
  }
  return target
}
