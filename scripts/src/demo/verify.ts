import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Load } from './job.js'
import type { Machine } from './machines.js'
import { type MachineResult, type StepRow, stepsOfMachine } from './watch.js'

/** What is wrong, machine by machine; empty if all is as it must be. Looks at the disks, not only at what was reported. */
export function faultsOf(stores: Machine[], results: MachineResult[], load: Load): string[] {
  return stores.flatMap((machine) => {
    const result = results.find(({ mqttClientId }) => mqttClientId === machine.name)
    const faults = result ? [...reported(result, load), ...onDisk(machine, load)] : ['no result']
    return faults.map((fault) => `${machine.name}: ${fault}`)
  })
}

/** A report that was lost or applied twice shows here: each step began once and ended once, in the first attempt. */
function reported({ status, message, attempt, steps }: MachineResult, load: Load): string[] {
  const program = steps.find(({ type }) => type === 'EXECUTE_FILE')
  return [
    status === 'SUCCESS' ? '' : `is ${status} (${message})`,
    attempt === 1 ? '' : `needed ${attempt} attempts`,
    steps.length === stepsOfMachine ? '' : `has ${steps.length} steps in the log`,
    ...steps.filter((step) => !beganAndEndedOnce(step)).map((step) => `${step.type} is logged ${said(step)}`),
    ...steps.filter((step) => step.status !== 'SUCCESS').map((step) => `${step.type} is ${step.status}`),
    program?.exitCode === 0 ? '' : `exit code ${program?.exitCode}`,
    program?.output?.startsWith(load.sha256)
      ? ''
      : `the program said '${program?.output}', not the checksum of the file`
  ].filter(Boolean)
}

function beganAndEndedOnce(step: StepRow): boolean {
  return ['START', 'Successed'].every((word) => step.messages.filter(({ message }) => message === word).length === 1)
}

function said({ messages }: StepRow): string {
  return messages.map(({ message }) => message).join(', ')
}

function onDisk({ root }: Machine, load: Load): string[] {
  const inbox = join(root, 'inbox')
  const names = existsSync(inbox) ? readdirSync(inbox) : []
  const file = join(inbox, load.name)
  const log = join(root, 'runs.log')
  const runs = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').length : 0
  return [
    existsSync(file) && readFileSync(file).equals(load.bytes) ? '' : 'the file is not the one that was sent',
    names.length === 1 ? '' : `the inbox holds ${names.join(', ') || 'nothing'}`,
    runs === 1 ? '' : `the program ran ${runs} times`
  ].filter(Boolean)
}
