import { execFile } from 'node:child_process'
import { connect } from 'node:net'

const waitMs = 2000
/** The echo service: hardly anyone listens there, but a machine that is there refuses at once. */
const echoPort = 7

/** Milliseconds until the machine answered, nothing where it did not. By ICMP where the system has `ping`, else by TCP. */
export async function probe(ip: string): Promise<number | undefined> {
  const answer = await icmp(ip)
  return answer === 'impossible' ? tcp(ip, echoPort) : answer
}

function icmp(ip: string): Promise<number | undefined | 'impossible'> {
  return new Promise((resolve) => {
    execFile('ping', ['-n', '-c', '1', '-W', String(waitMs / 1000), ip], { timeout: waitMs * 2 }, (error, stdout) => {
      const delay = /time[=<]([\d.]+)/.exec(stdout)?.[1]
      if (delay !== undefined) resolve(Math.round(Number(delay)))
      // 1 is "no answer"; anything else says that the program is not there or may not send.
      else resolve(error?.code === 1 ? undefined : 'impossible')
    })
  })
}

/** A refusal is an answer too. */
export function tcp(host: string, port: number): Promise<number | undefined> {
  const begun = performance.now()
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: waitMs })
    const end = (isThere: boolean) => {
      socket.destroy()
      resolve(isThere ? Math.round(performance.now() - begun) : undefined)
    }
    socket.once('connect', () => end(true))
    socket.once('timeout', () => end(false))
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED'))
  })
}
