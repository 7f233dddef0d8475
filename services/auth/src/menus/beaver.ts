import { oneOf, type Route, route, type Static, Type } from '@fleetgate/kit'
import { ById } from '../beaverLists.js'
import { type Menu, type MenuNode, menuTypes, toTree } from './menu.js'
import type { Menus } from './menus.js'

const Code = Type.String({ minLength: 1, maxLength: 127, pattern: '^[A-Za-z0-9_.:-]+$' })
const Name = Type.String({ minLength: 1, maxLength: 127, pattern: '\\S' })
const Fields = {
  menu_id: Type.String(),
  code: Type.String(),
  name: Type.String(),
  type: oneOf(menuTypes),
  parent_id: Type.Optional(Type.String())
}

/** In flat lists. */
export const MenuReply = Type.Object(Fields)
/** Deeper levels look the same; only the first two are written down, so that the printed reference needs no circle. */
export const MenuTree = Type.Object({
  ...Fields,
  children: Type.Array(Type.Object({ ...Fields, children: Type.Array(Type.Unknown()) }))
})

/** null and the empty text are the web client's ways to leave the parent out. */
const ParentId = Type.Optional(
  Type.Unsafe<string | number | null>({ type: ['string', 'integer', 'null'], pattern: '^[0-9]{0,19}$', minimum: 0 })
)
const Draft = Type.Object({ code: Code, name: Name, type: oneOf(menuTypes), parent_id: ParentId })

export function menuRoutes(menus: Menus): Route[] {
  return [
    route({
      method: 'get',
      path: '/user/menus',
      summary: 'All menus as a tree',
      needs: 'signedIn',
      reply: Type.Array(MenuTree),
      handle: async ({ caller }) => toTree(await menus.list(caller.tenantId)).map(toMenuNode)
    }),
    route({
      method: 'post',
      path: '/user/menus',
      summary: 'Add a menu of your own',
      needs: 'signedIn',
      body: Draft,
      reply: Type.Object({ menu_id: Type.String() }),
      handle: async ({ body, caller }) => ({ menu_id: await menus.add(toDraft(body), caller) })
    }),
    route({
      method: 'put',
      path: '/user/menus/:id',
      summary: 'Change an added menu',
      needs: 'signedIn',
      params: ById,
      body: Type.Object({ name: Name, type: oneOf(menuTypes) }),
      handle: ({ params, body, caller }) => menus.update(params.id, { name: body.name, type: body.type }, caller)
    }),
    route({
      method: 'delete',
      path: '/user/menus/:id',
      summary: 'Delete an added menu; roles lose it, what stands below it stays',
      needs: 'signedIn',
      params: ById,
      handle: ({ params, caller }) => menus.remove(params.id, caller)
    })
  ]
}

export function toMenuReply({ id, code, name, type, parentId }: Menu): Static<typeof MenuReply> {
  return { menu_id: id, code, name, type, ...(parentId === undefined ? {} : { parent_id: parentId }) }
}

export function toMenuNode(node: MenuNode): Static<typeof MenuTree> {
  return { ...toMenuReply(node), children: node.children.map(toMenuNode) }
}

function toDraft({ code, name, type, parent_id }: Static<typeof Draft>) {
  const isNone = parent_id === undefined || parent_id === null || parent_id === ''
  return { code, name, type, ...(isNone ? {} : { parentId: String(parent_id) }) }
}
