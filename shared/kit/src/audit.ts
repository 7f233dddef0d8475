import { AppError, type Deed, type DeedEnd, type Deeds, type Log } from '@fleetgate/contracts'
import { severityOf } from './log.js'

const mostTargets = 1000
const longestTarget = 320
/** Of all targets together, so that a record fits into a message. */
const mostCharacters = 100_000

export type Auditor = ReturnType<typeof createAuditor>

/** Does changes between the two halves of their records: begun before the change, none can be missing. */
export function createAuditor(deeds: Deeds, log: Log) {
  return {
    /** Does the work. `touched` names what the result tells of its targets. */
    async around<T>(deed: Deed, work: () => Promise<T>, touched: (result: T) => string[] = () => []): Promise<T> {
      const targets = boundedTargets(deed.targets)
      const end = await deeds.begin({ ...deed, targets })
      /** The record is there already; that its end is not is no reason to tell a caller that the change failed. */
      const finish = (outcome: DeedEnd) =>
        end(outcome).catch((err) =>
          log[severityOf(err)]({ err, action: deed.action, result: outcome.result }, 'end of a change not recorded')
        )
      try {
        const result = await work()
        await finish({ result: 'succeeded', targets: boundedTargets([...targets, ...touched(result)]) })
        return result
      } catch (error) {
        await finish({ ...endOf(error), targets })
        throw error
      }
    }
  }
}

const failures = new Set(['internal', 'unavailable', 'timeout'])

function endOf(error: unknown): Pick<DeedEnd, 'result' | 'error'> {
  const code = error instanceof AppError ? error.code : 'internal'
  return { result: failures.has(code) ? 'failed' : 'refused', error: code }
}

export function boundedTargets(targets: readonly string[]): string[] {
  let left = mostCharacters
  return [...new Set(targets.map((target) => target.slice(0, longestTarget)))]
    .filter((target) => {
      left -= target.length
      return left >= 0
    })
    .slice(0, mostTargets)
}
