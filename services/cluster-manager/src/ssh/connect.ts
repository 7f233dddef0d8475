import { createHash } from 'node:crypto'
import { type Duplex, Readable } from 'node:stream'
import { NodeSSH } from 'node-ssh'
import { HostProblem, toProblem } from './problem.js'

/** How to log in somewhere: by key or by password. */
export interface Login {
  address: string
  port: number
  user: string
  privateKey?: string | undefined
  passphrase?: string | undefined
  password?: string | undefined
  /** `SHA256:…` of the key that the host must show; absent at the first connection. */
  hostKey?: string | undefined
}

export interface Target extends Login {
  /** The way in where the host cannot be reached directly. */
  bastion?: Login | undefined
}

export interface ExecResult {
  code: number
  output: string
}

export interface ExecOptions {
  /** Standard input: a file's bytes, or a text. */
  input?: Buffer | string | Readable
  onLine?: (line: string) => void
  signal: AbortSignal
}

export interface HostConnection {
  /** Fingerprints as they were shown, to be pinned. */
  readonly hostKey: string
  readonly bastionKey: string | undefined
  /** Runs a line of our own; nothing that a person wrote is ever part of it. Rejects with a HostProblem where the connection breaks. */
  exec(line: string, options: ExecOptions): Promise<ExecResult>
  isOpen(): boolean
  close(): void
}

const keepaliveMs = 5_000
/** Bytes that are sent before the host has taken them. OpenSSH allows 2 MB, and then its buffers cost it as much as all else of an upload. */
const mostAhead = 1024 * 1024
const longestOutput = 1_000_000
/** What a host says is kept in memory, and in part in documents. */
const longestLine = 4_000

/** Connects and logs in, checking the host's key. Rejects with a HostProblem. */
export async function connectHost(target: Target, timeoutMs: number): Promise<HostConnection> {
  const bastion = target.bastion ? await open(target.bastion, timeoutMs, undefined) : undefined
  try {
    const onward = bastion?.ssh.forwardOut('127.0.0.1', 0, target.address, target.port)
    const through = onward && (await within(timeoutMs, onward))
    const host = await open(target, timeoutMs, through)
    return {
      hostKey: host.hostKey,
      bastionKey: bastion?.hostKey,
      exec: (line, options) => exec(host.ssh, line, options, target.address),
      isOpen: () => host.ssh.isConnected(),
      close() {
        host.ssh.dispose()
        bastion?.ssh.dispose()
      }
    }
  } catch (error) {
    bastion?.ssh.dispose()
    throw toProblem(error, target.address)
  }
}

/** A bastion may take the request for the way on and never answer it. */
function within<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the bastion timed out')), ms)
    work.finally(() => clearTimeout(timer)).then(resolve, reject)
  })
}

interface Opened {
  ssh: NodeSSH
  hostKey: string
}

async function open(login: Login, timeoutMs: number, sock: Duplex | undefined): Promise<Opened> {
  const ssh = new NodeSSH()
  let shown = ''
  try {
    const connecting = ssh.connect({
      host: login.address,
      port: login.port,
      username: login.user,
      readyTimeout: timeoutMs,
      keepaliveInterval: keepaliveMs,
      keepaliveCountMax: 3,
      ...(login.privateKey ? { privateKey: login.privateKey } : {}),
      ...(login.passphrase ? { passphrase: login.passphrase } : {}),
      ...(login.password ? { password: login.password } : {}),
      ...(sock ? { sock } : {}),
      hostVerifier: (key: Buffer) => {
        shown = fingerprintOf(key)
        return login.hostKey === undefined || login.hostKey === shown
      }
    })
    // ssh2 writes each packet in three parts. Otherwise the second of them waits until the host acknowledges the first, which it
    // puts off for 40 ms: seven times in one login.
    ssh.connection?.setNoDelay(true)
    await connecting
    // A connection that breaks later is told by its channels; without a listener it would end the process.
    ssh.connection?.on('error', () => {})
    return { ssh, hostKey: shown }
  } catch (error) {
    ssh.dispose()
    const isOther = shown !== '' && login.hostKey !== undefined && shown !== login.hostKey
    throw toProblem(error, login.address, isOther ? { pinned: login.hostKey ?? '', shown } : undefined)
  }
}

/** As `ssh-keygen -l` prints it. */
function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

function exec(
  ssh: NodeSSH,
  line: string,
  { input, onLine, signal }: ExecOptions,
  address: string
): Promise<ExecResult> {
  const client = ssh.connection
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      if (input instanceof Readable) input.destroy()
      reject(toProblem(error, address))
    }
    // From here on: a file may turn out to be gone before the channel is there.
    if (input instanceof Readable) {
      input.on('error', (cause: NodeJS.ErrnoException) =>
        fail(new HostProblem('refused', `what is to be sent cannot be read (${cause.code})`, { cause }))
      )
    }
    if (!client) return fail(new Error('not connected'))
    if (signal.aborted) return fail(new Error('given up before it began'))
    // Listened to in the callback itself: of a short program the end comes in the same packet as the start.
    client.exec(line, (error, channel) => {
      if (error) return fail(error)
      const outgoing = channel.outgoing as { window: number }
      outgoing.window = Math.min(outgoing.window, mostAhead)
      let output = ''
      let rest = ''
      let code: number | undefined
      const take = (text: string) => {
        if (output.length < longestOutput) output += text
        const lines = (rest + text).split('\n')
        rest = (lines.pop() ?? '').slice(0, longestLine)
        for (const one of lines) onLine?.(one.slice(0, longestLine))
      }
      const onAbort = () => channel.destroy()
      signal.addEventListener('abort', onAbort, { once: true })
      if (signal.aborted) onAbort()
      channel.setEncoding('utf8').on('data', take)
      channel.stderr.setEncoding('utf8').on('data', take)
      channel.on('exit', (status: number | null) => {
        code = status ?? 255
      })
      channel.on('error', fail)
      channel.on('close', () => {
        signal.removeEventListener('abort', onAbort)
        if (input instanceof Readable) input.destroy()
        if (rest) onLine?.(rest)
        if (code === undefined) fail(new Error('the connection broke'))
        else resolve({ code, output })
      })
      if (!(input instanceof Readable)) return channel.end(input ?? '')
      input.on('close', () => input.readableEnded || channel.destroy())
      input.pipe(channel)
      if (input.destroyed) channel.destroy()
    })
  })
}
