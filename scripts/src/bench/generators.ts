import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

export interface Shot {
  url: string
  authorization: string
  connections: number
  seconds: number
}

export interface Answered {
  /** Answers with a 2xx status; anything else fails the measurement. */
  good: number
  bad: number
  p50: number
  p99: number
}

export interface Generator {
  name: string
  shoot(shot: Shot): Promise<Answered>
}

const run = promisify(execFile)

/** wrk where it is installed: it leaves the processors to what is measured. autocannon otherwise. */
export function findGenerator(path = process.env.PATH ?? ''): Generator {
  const wrk = path.split(delimiter).find((folder) => isProgram(join(folder, 'wrk')))
  return wrk === undefined ? autocannon : { name: 'wrk', shoot: (shot) => shootWrk(join(wrk, 'wrk'), shot) }
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

async function shootWrk(wrk: string, { url, authorization, connections, seconds }: Shot): Promise<Answered> {
  const size = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--latency']
  const { stdout } = await run(wrk, [...size, '-H', `Authorization: ${authorization}`, url])
  return readWrk(stdout)
}

/** Reads wrk's report, which is for people. */
export function readWrk(text: string): Answered {
  const find = (pattern: RegExp) => pattern.exec(text)?.slice(1) ?? []
  const [total = '0'] = find(/(\d+) requests in/)
  const [not2xx = '0'] = find(/Non-2xx or 3xx responses: (\d+)/)
  const errors = find(/Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/)
  const ms = ([value = 'NaN', unit = 'ms']: string[]) => Number(value) * ({ us: 0.001, s: 1000 }[unit] ?? 1)
  return {
    good: Number(total) - Number(not2xx),
    bad: Number(not2xx) + errors.reduce((sum, count) => sum + Number(count), 0),
    p50: ms(find(/50%\s+([\d.]+)(us|ms|s)/)),
    p99: ms(find(/99%\s+([\d.]+)(us|ms|s)/))
  }
}

interface AutocannonReport {
  latency: { p50: number; p99: number }
  '2xx': number
  non2xx: number
  errors: number
}

const autocannon: Generator = {
  name: 'autocannon',
  async shoot({ url, authorization, connections, seconds }) {
    const program = createRequire(import.meta.url).resolve('autocannon')
    const size = ['-j', '-c', String(connections), '-d', String(seconds)]
    const options = [program, ...size, '-H', `authorization=${authorization}`, url]
    const { stdout } = await run(process.execPath, options, { maxBuffer: 16 * 1024 * 1024 })
    const report = JSON.parse(stdout) as AutocannonReport
    const { p50, p99 } = report.latency
    return { good: report['2xx'], bad: report.non2xx + report.errors, p50, p99 }
  }
}
