import { AppError } from '@fleetgate/kit'
import { checkAttribute } from '../entities/attributeRules.js'
import { isWritable } from '../entities/entity.js'
import { overlap } from './pointer.js'
import type { TemplateChild, TemplateDraft, TemplateEntity } from './template.js'
import { checkTopic } from './topicPattern.js'

/** Throws `invalid_input` that names the field: what a schema cannot say of a template. */
export function checkTemplate({ topic, downTopic, entities }: TemplateDraft): void {
  checkTopic('topic', topic, { takesWildcard: true })
  if (downTopic !== undefined) checkTopic('down_topic', downTopic, { takesWildcard: false })
  const identifiers = new Set<string>()
  const down: string[] = []
  for (const [index, entity] of entities.entries()) {
    const field = `entities.${index}`
    if (identifiers.has(entity.identifier)) refuse(`${field}.identifier`, 'is there twice')
    identifiers.add(entity.identifier)
    checkEntity(entity, field)
    if (!isSentDown(entity)) continue
    if (downTopic === undefined) refuse('down_topic', `is required, because ${field} is written or called`)
    for (const pointer of pointersOf(entity)) {
      if (down.some((other) => overlap(other, pointer))) refuse(`${field}.pointer`, 'overlaps one of another entity')
      down.push(pointer)
    }
  }
}

/** Throws `invalid_input` where an entity would become another thing than its history holds. */
export function checkChange(before: TemplateEntity[], after: TemplateEntity[]): void {
  const known = new Map(before.map((entity) => [entity.identifier, entity]))
  for (const [index, entity] of after.entries()) {
    const old = known.get(entity.identifier)
    if (!old) continue
    const field = `entities.${index}`
    if (old.type !== entity.type) refuseChange(field)
    checkSameType(old, entity, field)
    const children = new Map(old.children?.map((child) => [child.identifier, child]))
    for (const [place, child] of (entity.children ?? []).entries()) {
      checkSameType(children.get(child.identifier), child, `${field}.children.${place}`)
    }
  }
}

function checkSameType(before: TemplateChild | undefined, { valueType }: TemplateChild, field: string): void {
  if (before && before.valueType !== valueType) refuseChange(field)
}

function refuseChange(field: string): never {
  refuse(`${field}.value_type`, 'and type cannot be changed: take another identifier')
}

export function isSentDown(entity: Pick<TemplateEntity, 'type' | 'accessMod'>): boolean {
  return entity.type === 'SERVICE' || isWritable({ accessMod: 'RW', ...entity })
}

function checkEntity({ children = [], ...entity }: TemplateEntity, field: string): void {
  const isObject = entity.valueType === 'OBJECT'
  if (isObject && entity.type !== 'SERVICE') refuse(`${field}.value_type`, 'OBJECT is for services')
  if (!isObject && children.length > 0) refuse(`${field}.children`, 'are for services of value_type OBJECT')
  checkOne(entity, field)
  const identifiers = new Set<string>()
  for (const [index, child] of children.entries()) {
    const place = `${field}.children.${index}`
    if (identifiers.has(child.identifier)) refuse(`${place}.identifier`, 'is there twice')
    if (child.valueType === 'OBJECT') refuse(`${place}.value_type`, 'may not be OBJECT')
    identifiers.add(child.identifier)
    checkOne(child, place)
  }
}

function checkOne({ attribute, pointer, conversion }: TemplateChild, field: string): void {
  if (attribute) checkAttribute(attribute)
  if (pointer?.split('/').includes('__proto__')) refuse(`${field}.pointer`, 'is not allowed')
  if (conversion?.factor === 0) refuse(`${field}.factor`, 'may not be 0')
}

/** A service without parameters puts an empty object at its own pointer. */
function pointersOf(entity: TemplateEntity): string[] {
  const children = entity.children ?? []
  return (children.length > 0 ? children : [entity]).map(pointerOf)
}

export function pointerOf({ pointer, identifier }: Pick<TemplateChild, 'pointer' | 'identifier'>): string {
  return pointer ?? `/${identifier.replaceAll('~', '~0').replaceAll('/', '~1')}`
}

function refuse(field: string, reason: string): never {
  throw new AppError('invalid_input', `${field} ${reason}`, { field })
}
