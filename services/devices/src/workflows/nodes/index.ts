import { compile } from '@fleetgate/kit'
import type { Kinds, PlanNode } from '../design.js'
import type { NodeType } from '../nodeType.js'
import { choice } from './choice.js'
import { code } from './code.js'
import { entityAssigner, entitySelector, output, serviceInvocation } from './entityNodes.js'
import { eventListener, httpIn, simpleMqtt, simpleTimer, trigger } from './entries.js'
import { email, httpRequest, webhook } from './external.js'

/** A new kind of node is a line here. */
export const nodeTypes: readonly NodeType[] = [
  ...[simpleTimer, trigger, eventListener, simpleMqtt, httpIn],
  choice,
  ...[code, entityAssigner, entitySelector, serviceInvocation, output],
  ...[email, webhook, httpRequest]
]

const byComponent = new Map(nodeTypes.map((type) => [type.component, { type, check: compile(type.parameters) }]))

export const kinds: Kinds = {
  isKnown: (component) => byComponent.has(component),
  isEntry: (component) => byComponent.get(component)?.type.group === 'entry'
}

/** The type of a node of a plan: the plan was made with `kinds`. */
export function typeOf({ component }: Pick<PlanNode, 'component'>): NodeType {
  const found = byComponent.get(component)
  if (!found) throw new Error(`${component} is no type of a node`)
  return found.type
}

/** What is wrong with the parameters of a node as they stand in the design. */
export function problemOf(component: string, parameters: unknown): string | undefined {
  const found = byComponent.get(component)
  if (!found) return 'its type is not known'
  try {
    found.check(parameters)
  } catch (error) {
    return (error as Error).message
  }
  return found.type.problem?.(parameters)
}
