/* SPDX-License-Identifier: ISC */
/*
 * The stack switch for aarch64 (AAPCS64): x19 to x30 and d8 to d15 are callee-saved. Ends with `ret`, entries carry
 * `bti c`, and the note at the end says so.
 *
 * tests/gdb/postroad.py knows this layout: from the saved stack pointer upwards x29 x30 x19 ... x28 d8 ... d15.
 */
	.text

/* void co_switch(struct co_context *from, const struct co_context *to) */
	.globl	co_switch
	.hidden	co_switch
	.type	co_switch, %function
	.p2align 4
co_switch:
	.cfi_startproc
	hint	#34			/* bti c */
	stp	x29, x30, [sp, #-160]!
	.cfi_def_cfa_offset 160
	.cfi_offset x29, -160
	.cfi_offset x30, -152
	stp	x19, x20, [sp, #16]
	.cfi_offset x19, -144
	.cfi_offset x20, -136
	stp	x21, x22, [sp, #32]
	.cfi_offset x21, -128
	.cfi_offset x22, -120
	stp	x23, x24, [sp, #48]
	.cfi_offset x23, -112
	.cfi_offset x24, -104
	stp	x25, x26, [sp, #64]
	.cfi_offset x25, -96
	.cfi_offset x26, -88
	stp	x27, x28, [sp, #80]
	.cfi_offset x27, -80
	.cfi_offset x28, -72
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
	mov	x9, sp
	str	x9, [x0]
	ldr	x9, [x1]
	mov	sp, x9			/* the same layout on the other stack: the CFI stays true */
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	d8, d9, [sp, #96]
	ldp	d10, d11, [sp, #112]
	ldp	d12, d13, [sp, #128]
	ldp	d14, d15, [sp, #144]
	ldp	x29, x30, [sp], #160
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
	ret
	.cfi_endproc
	.size	co_switch, . - co_switch

/* The oldest frame of every coroutine: x19 is its entry, x20 the argument. Unwinding ends here. */
	.type	co_boot, %function
	.p2align 4
co_boot:
	.cfi_startproc
	.cfi_undefined x30
	hint	#36			/* bti j: reached by ret, and safe either way */
	mov	x0, x20
	mov	x29, xzr
	mov	x30, xzr
	blr	x19
	brk	#1
	.cfi_endproc
	.size	co_boot, . - co_boot

/*
 * void co_context_make(struct co_context *c, void *stack_low, size_t size, void (*entry)(void *), void *arg)
 * Lays out what co_switch loads.
 */
	.globl	co_context_make
	.hidden	co_context_make
	.type	co_context_make, %function
	.p2align 4
co_context_make:
	.cfi_startproc
	hint	#34			/* bti c */
	add	x9, x1, x2
	and	x9, x9, #-16
	sub	x9, x9, #160
	adrp	x10, co_boot
	add	x10, x10, :lo12:co_boot
	stp	xzr, x10, [x9]		/* x29: the end of the frame pointer chain; x30 */
	stp	x3, x4, [x9, #16]	/* x19, x20 */
	stp	xzr, xzr, [x9, #32]
	stp	xzr, xzr, [x9, #48]
	stp	xzr, xzr, [x9, #64]
	stp	xzr, xzr, [x9, #80]
	stp	xzr, xzr, [x9, #96]
	stp	xzr, xzr, [x9, #112]
	stp	xzr, xzr, [x9, #128]
	stp	xzr, xzr, [x9, #144]
	str	x9, [x0]
	ret
	.cfi_endproc
	.size	co_context_make, . - co_context_make

	.section .note.GNU-stack, "", %progbits

/* GNU property: AARCH64_FEATURE_1_AND = BTI */
	.section .note.gnu.property, "a", %note
	.p2align 3
	.word	4
	.word	16
	.word	5
	.asciz	"GNU"
	.word	0xc0000000
	.word	4
	.word	1
	.word	0
