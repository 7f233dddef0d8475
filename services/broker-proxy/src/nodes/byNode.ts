import { recordOf, type Static, type TSchema, Type } from '@fleetgate/contracts'

/** `2.1`: an object keyed by node, as EMQ X documented it; `2.3`: that object in an array, as emqttd's code sent it and its dashboard reads it. */
export const emqForms = ['2.1', '2.3'] as const
export type EmqForm = (typeof emqForms)[number]

export interface ByNode<V> {
  /** Of the answer. */
  reply: TSchema
  of(node: string, value: V): never
}

/** What all nodes of the cluster answer, each its own. */
export function byNode<S extends TSchema>(form: EmqForm, ofNode: S): ByNode<Static<S>> {
  const reply = recordOf(ofNode)
  if (form === '2.1') return { reply, of: (node, value) => ({ [node]: value }) as never }
  return { reply: Type.Array(reply), of: (node, value) => [{ [node]: value }] as never }
}
