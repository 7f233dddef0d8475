import type { DeviceBlueprint } from '../integrations/manifest.js'
import type { Template, TemplateChild } from './template.js'

/** A device as its template wants it. */
export function blueprintOf({ id, entities }: Pick<Template, 'id' | 'entities'>, identifier: string): DeviceBlueprint {
  return {
    identifier,
    template: id,
    entities: entities.map(({ type, children = [], ...entity }) => ({
      ...plain(entity),
      type,
      children: children.map(plain)
    }))
  }
}

/** Pointers and conversions are the template's alone. */
function plain({ pointer, conversion, ...entity }: TemplateChild) {
  return entity
}
