import { SdesPage, type Static, Type } from '@fleetgate/kit'
import { Flag, Id, MaybeTime, meantOf, Name, nullable, sdesPaging, Text } from '../sdesFields.js'
import { type Group, type GroupDraft, groupTypes, isQuery } from './group.js'

export const GroupById = Type.Object({ groupId: Id })
const GroupType = Type.Integer({ minimum: 0, maximum: groupTypes.length - 1 })
const MaybeFlag = Type.Optional(nullable(Type.Boolean()))
const Word = Type.Optional(nullable(Type.String({ maxLength: 256 })))

const fields = {
  description: Type.Optional(nullable(Text)),
  enabled: MaybeFlag,
  enable: MaybeFlag,
  queryProperty: Word,
  queryOperation: Word,
  queryValue: Type.Optional(nullable(Type.String({ maxLength: 16_384 }))),
  /** Kept by the scheduler: taken as the document has them, and not believed. */
  assignmentsChangedAt: Type.Optional(MaybeTime),
  membershipChangedAt: Type.Optional(MaybeTime),
  lastRefreshedAt: Type.Optional(MaybeTime)
}
export const Draft = Type.Object({ type: GroupType, groupName: Name, ...fields })
export const Change = Type.Object({
  groupId: Id,
  type: Type.Optional(nullable(GroupType)),
  groupName: Type.Optional(nullable(Name)),
  ...fields
})

const Time = Type.Optional(Type.Number())
export const GroupQuery = Type.Object({
  ...sdesPaging,
  groupName: Type.Optional(Type.String({ maxLength: 256 })),
  groupNameContain: Type.Optional(Type.String({ maxLength: 256 })),
  type: Type.Optional(GroupType),
  enabled: Type.Optional(Flag),
  lastEditedAtGte: Time,
  lastEditedAtLte: Time,
  createAtGte: Time,
  createAtLte: Time
})

export const Row = Type.Object({
  groupId: Id,
  groupName: Type.String(),
  type: Type.Integer(),
  description: Type.String(),
  enabled: Type.Boolean(),
  enable: Type.Boolean(),
  queryProperty: Type.String(),
  queryOperation: Type.String(),
  queryValue: Type.String(),
  createdAt: Type.Number(),
  createAt: Type.Number(),
  lastEditedAt: Type.Number(),
  assignmentsChangedAt: MaybeTime,
  membershipChangedAt: MaybeTime,
  lastRefreshedAt: MaybeTime
})
export const GroupPage = SdesPage(Row)

export function toDraft(body: Static<typeof Draft>): GroupDraft {
  return {
    type: body.type,
    groupName: body.groupName,
    description: body.description ?? '',
    enabled: meantOf([body.enabled, body.enable]) ?? true,
    queryProperty: body.queryProperty ?? '',
    queryOperation: body.queryOperation ?? '',
    queryValue: body.queryValue ?? ''
  }
}

export function toChange(body: Static<typeof Change>, stored: Pick<Group, 'enabled'>): Partial<GroupDraft> {
  const { type, groupName, description, queryProperty, queryOperation, queryValue } = body
  const enabled = meantOf([body.enabled, body.enable], stored.enabled)
  const wanted = { type, groupName, description, enabled, queryProperty, queryOperation, queryValue }
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value != null)) as Partial<GroupDraft>
}

/** A query is asked whenever its group is read, so it is as fresh as `now`. */
export function toRow(group: Group, now: number): Static<typeof Row> {
  const { groupId, groupName, type, description, enabled, createdAt, lastEditedAt } = group
  const { queryProperty, queryOperation, queryValue } = group
  return {
    groupId,
    groupName,
    type,
    description,
    enabled,
    enable: enabled,
    queryProperty,
    queryOperation,
    queryValue,
    createdAt,
    createAt: createdAt,
    lastEditedAt,
    assignmentsChangedAt: group.assignmentsChangedAt ?? null,
    membershipChangedAt: group.membershipChangedAt ?? null,
    lastRefreshedAt: type === isQuery ? now : null
  }
}
