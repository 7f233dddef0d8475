import t from 'tap'
import { entryOf } from '../src/operations/settle.js'
import { newDocument, newHost } from './machineSupport.js'

const failed = newDocument('openstack', '', [newHost(1), newHost(2)])
const problemsOf = (messages: string[]) => messages.map((message) => ({ ip: '10.9.0.1', message }))
const phasesOf = (names: string[]) => names.map((name) => ({ name, state: 'DONE' as const }))

await t.test('the log tells by what failed first whether it was the machine or what was to run on it', (t) => {
  for (const [problems, phases, word] of [
    [['verify: k3s is not ready'], ['install-1', 'verify', 'undo-others'], 'systemComponent_failed'],
    [['verify: away', 'undo-others: away'], ['install-1', 'verify', 'undo-machines'], 'systemComponent_failed'],
    [['addons: kubectl apply: no'], ['install-1', 'verify', 'addons'], 'systemComponent_failed'],
    [['stage: the disk is full'], ['install-1', 'verify', 'undo-others'], 'installation_failed'],
    [['install-1: no', 'verify: away'], ['install-1', 'verify', 'undo-others'], 'installation_failed'],
    [[], [], 'installation_failed']
  ] as const) {
    const end = { state: 'FAILED' as const, message: 'failed on 1 of 2 hosts' }
    const operation = {
      ...failed.operation,
      ...end,
      problems: problemsOf([...problems]),
      phases: phasesOf([...phases])
    }
    const { status, comments } = entryOf({ ...failed, operation })
    t.same([status, comments], ['fail', `${word}: failed on 1 of 2 hosts`], problems.join())
  }
  t.end()
})
